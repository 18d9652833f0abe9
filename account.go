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
