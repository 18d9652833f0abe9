package parley

// VisitorRequest asks for credentials of a visitor's device.
type VisitorRequest struct {
	SiteKey      string
	RefreshToken string // of an earlier visit; without a valid one a new visitor is made
	Device       string // the device to keep, honoured if RefreshToken is of this device
	Name         string // what the visitor wants to be called, at most 80 characters; empty keeps the earlier one
	Origin       string // the web page's origin; empty where there is none, or it is our own
	RemoteIP     string // where the request came from, for limiting new visitors
}

// AgentRequest asks for credentials of an agent's device.
type AgentRequest struct {
	Site         string // id or key
	Email        string
	Password     string
	RefreshToken string // of an earlier sign-in on this device, may be empty
	Device       string // the device to keep, honoured if RefreshToken is of this device
	RemoteIP     string // where the request came from, for limiting failures
}

// Credentials are what a device holds after signing in. Tokens are secrets:
// never logged.
type Credentials struct {
	Identity     Identity // Identity.Expires is the end of Token
	Token        string   // opens MQTT and HTTP for about an hour
	RefreshToken string   // buys new credentials of the same device, nothing else
}
