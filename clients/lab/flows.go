package lab

// flow is one client in the words of the home page. What is said of its
// strength and weakness names what can be read or done, and by whom.
type flow struct {
	party    string // which one's page the card opens; "" for the command line
	Kind     string // colour and shape of where the flow runs
	Title    string
	Flow     string // the grant, in the specifications' words
	Runs     string
	Strength string
	Weakness string
	Section  string // where the specifications say so
	Holdings []holding
	Session  string // what the browser or program sends to its own application
	Renewal  string

	URL string // of its page, filled in by the home page; the command line has none
}

// holding says who can read a token.
type holding struct {
	What  string
	Where string
	Kind  string // of the party that holds it: frontend or backend; "" for nobody
}

const (
	inPage    = "the page"
	inBackend = "the backend"
	nowhere   = "nobody"
)

// flows are the clients in the order of how far the tokens are from the
// browser, and the command line.
func flows() []flow {
	return []flow{
		{
			party: implicitSPA, Kind: "frontend", Title: "Implicit", Flow: "implicit flow, id_token token",
			Runs:     "in the browser, no backend",
			Strength: "One redirect is the whole flow: no backend, no secret, no call to the token endpoint. The ID token's nonce and at_hash tell this page when a response was not made for it.",
			Weakness: "The access token arrives in the page's URL. Whoever reads it there, in the browser's history or by a script of the page, can call the API until the token expires.",
			Section:  "RFC 9700 §2.1.2",
			Holdings: []holding{{"access token", inPage, "frontend"}, {"refresh token", nowhere, ""}, {"ID token", inPage, "frontend"}},
			Session:  "the access token itself",
			Renewal:  "a hidden frame asks the provider with prompt=none",
		},
		{
			party: pkceSPA, Kind: "frontend", Title: "PKCE", Flow: "authorization code with PKCE, public client",
			Runs:     "in the browser, no backend",
			Strength: "No token travels in a URL. A code that is intercepted is worth nothing without the verifier, which stays in the tab, and each refresh token works once.",
			Weakness: "This page's scripts can read the access token and the refresh token, so an injected script can send both elsewhere and use them there.",
			Section:  "RFC 7636 §1, RFC 10017 §5.1.2",
			Holdings: []holding{{"access token", inPage, "frontend"}, {"refresh token", inPage, "frontend"}, {"ID token", inPage, "frontend"}},
			Session:  "the access token itself",
			Renewal:  "the rotated refresh token, or a hidden frame",
		},
		{
			party: drivenSPA, Kind: "frontend", Title: "Frontend-driven", Flow: "authorization code with PKCE, confidential client",
			Runs:     "begins and is checked in the browser; the backend redeems the code",
			Strength: "The provider's tokens never reach the browser: the code is worth nothing without both the backend's secret and the tab's verifier. Calls carry an Authorization header, no cookie, so another site's page cannot make them in the user's name.",
			Weakness: "This page's scripts can read the application's own access and refresh token, so an injected script can send both elsewhere and use them there.",
			Section:  "RFC 7636 §1, RFC 10017 §5.1.2",
			Holdings: []holding{{"access token", inBackend, "backend"}, {"refresh token", inBackend, "backend"}, {"ID token", inBackend, "backend"}},
			Session:  "the application's own pair of tokens, held by the page",
			Renewal:  "the application's refresh token; the backend then uses the provider's",
		},
		{
			party: bffBackend, Kind: "backend", Title: "BFF", Flow: "authorization code with PKCE, confidential client",
			Runs:     "in the backend",
			Strength: "No token reaches the browser, and its scripts cannot read the session cookie (HttpOnly): an injected script finds no token to carry away.",
			Weakness: "While the page is open, an injected script can call the API through the backend. The browser attaches the cookie by itself, so every changing call needs a defence against cross-site request forgery, and page and backend must share a site.",
			Section:  "RFC 10017 §6.1",
			Holdings: []holding{{"access token", inBackend, "backend"}, {"refresh token", inBackend, "backend"}, {"ID token", inBackend, "backend"}},
			Session:  "a session cookie, which scripts cannot read",
			Renewal:  "the backend's refresh token; the page does not notice",
		},
		{
			Kind: "backend", Title: "Command line", Flow: "authorization code with PKCE, public client, loopback redirect",
			Runs:     "in a program on this machine",
			Strength: "The password is typed at the provider, in the person's own browser: the program never sees it. It uses the provider's session, so whoever is signed in there types nothing at all.",
			Weakness: "Any program on this machine can call itself by this client's id, and tokens that were saved to a file can be read by every program of the same user.",
			Section:  "RFC 8252 §8.1, §8.6",
			Holdings: []holding{{"access token", "the program", "backend"}, {"refresh token", "the program", "backend"}, {"ID token", "the program", "backend"}},
			Session:  "the access token itself; through the backend, the application's own pair",
			Renewal:  "the rotated refresh token",
		},
	}
}
