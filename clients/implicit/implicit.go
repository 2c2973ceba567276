package implicit

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/oidclab/oidclab/clients/internal/web"
)

//go:embed web
var files embed.FS

// scope is all that this client asks for. The implicit flow has no refresh
// token, so it does not ask for offline_access (RFC 6749 §4.2.2).
const scope = "openid profile email notes:read notes:write"

// Config says where the parties are. None of it is secret: the page reads it
// all from /config.json.
type Config struct {
	// Issuer is the provider's issuer identifier, without a slash at its end.
	Issuer string
	// ClientID is the client's id at the provider; "" means "implicit".
	ClientID string
	// APIURL is the resource server's origin.
	APIURL string
	// HomeURL is where "Lab home" leads; "" hides the link.
	HomeURL string
}

// New returns the client's site. It holds no state: the flow and its tokens are
// in the browser.
func New(cfg Config) http.Handler {
	if cfg.ClientID == "" {
		cfg.ClientID = "implicit"
	}
	pages, err := fs.Sub(files, "web")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return web.Site{
		Files: pages,
		Config: map[string]string{
			"issuer": cfg.Issuer, "client_id": cfg.ClientID, "api": cfg.APIURL, "home": cfg.HomeURL, "scope": scope,
		},
		Connect: []string{web.Origin(cfg.Issuer), web.Origin(cfg.APIURL)},
		Frame:   []string{web.Origin(cfg.Issuer)},
	}.Handler()
}
