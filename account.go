package parley

// Site is one brand with its own key, agents and settings.
type Site struct {
	ID      string
	Key     string // public: web pages carry it
	Name    string
	Origins []string // web origins whose pages may speak for the site's visitors; "*" allows all
}

// Account is a person who signs in with a password.
type Account struct {
	Site         string
	ID           string
	Email        string // lower case
	Name         string
	Role         Role
	PasswordHash string // argon2id in PHC form; never logged, never sent
}

// Revocation ends what was given out earlier: the tokens of a user, or of one of
// the user's devices.
type Revocation struct {
	Site   string
	User   string
	Device string // empty: all devices of the user
	Before int64  // Unix milliseconds: tokens issued earlier are void
}
