package lab

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"

	"github.com/oidclab/oidclab/clients/internal/web"
	"github.com/oidclab/oidclab/provider"
)

//go:embed home.html
var homeSource string

//go:embed web
var homeFiles embed.FS

// homePage is what the home page shows. It is made once: nothing on it depends
// on who asks.
type homePage struct {
	Flows     []flow
	Users     []homeUser
	Seeded    bool // the users are alice and bob, with their published passwords
	Issuer    string
	API       string
	Via       string
	Endpoints []endpoint
	Shared    bool   // all parties are on one host
	OtherSite string // the provider's host, if it is on another site than the clients
}

type homeUser struct {
	Username, Password, Name string
	Groups                   string
}

type endpoint struct {
	Method, Path, Link string
	What, Section      string
}

func (c *composer) home(context.Context) error {
	page := homePage{
		Flows: flows(), Users: homeUsers(c.cfg.Provider.Users), Seeded: len(c.cfg.Provider.Users) == 0,
		Issuer: c.at[op], API: c.at[apiServer], Via: c.at[drivenServer],
		Endpoints: endpoints(c.at[op], c.cfg.Provider.Registration.On()),
		Shared:    c.cfg.Layout == Ports,
	}
	for i, f := range page.Flows {
		if f.party != "" {
			page.Flows[i].URL = c.at[f.party] + "/"
		}
	}
	if !page.Shared && !strings.HasSuffix(c.cfg.OPHost, site) {
		page.OtherSite = c.cfg.OPHost
	}
	h, err := page.handler()
	if err != nil {
		return err
	}
	c.lab.handlers[home] = h // not recorded: it takes part in no flow
	return nil
}

func (p homePage) handler() (http.Handler, error) {
	t, err := template.New("home").Parse(homeSource)
	if err != nil {
		return nil, fmt.Errorf("lab: home page: %w", err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, p); err != nil {
		return nil, fmt.Errorf("lab: home page: %w", err)
	}
	files, err := fs.Sub(homeFiles, "web")
	if err != nil {
		return nil, fmt.Errorf("lab: home page: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", web.Site{Files: files}.Handler()) // home.css and /chrome/
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		w.Write(text.Bytes())
	})
	return mux, nil
}

// homeUsers are those that can sign in. Only the published passwords of the
// provider's own users are shown.
func homeUsers(configured []provider.User) []homeUser {
	users := configured
	if len(users) == 0 {
		users = provider.SeedUsers()
	}
	list := make([]homeUser, 0, len(users))
	for _, u := range users {
		name, _ := u.Claims["name"].(string)
		shown := homeUser{Username: u.Username, Name: name, Groups: strings.Join(u.Groups, ", ")}
		if len(configured) == 0 {
			shown.Password = u.Username // see provider.SeedUsers
		}
		list = append(list, shown)
	}
	return list
}

// endpoints of the provider. Those with a link can be opened as they are.
func endpoints(issuer string, registration bool) []endpoint {
	list := []endpoint{
		{"GET", "/.well-known/openid-configuration", issuer + "/.well-known/openid-configuration", "metadata: where everything else is", "OIDC Discovery §4"},
		{"GET", "/.well-known/oauth-authorization-server", issuer + "/.well-known/oauth-authorization-server", "the same, for OAuth clients", "RFC 8414 §3"},
		{"GET", "/jwks", issuer + "/jwks", "the public keys that verify the tokens", "RFC 7517 §5"},
		{"GET, POST", "/authorize", "", "where a sign-in begins, in the browser", "RFC 6749 §3.1, OIDC Core §3"},
		{"POST", "/par", "", "keeps a request that a client pushes before it sends the browser", "RFC 9126 §2"},
		{"POST", "/token", "", "codes and refresh tokens for tokens", "RFC 6749 §3.2"},
		{"POST", "/device_authorization", "", "codes for a device that has no browser", "RFC 8628 §3.1"},
		{"GET, POST", "/device", issuer + "/device", "where a person types in a device's code", "RFC 8628 §3.3"},
		{"GET, POST", "/userinfo", "", "the user's claims, for an access token", "OIDC Core §5.3"},
		{"POST", "/introspect", "", "whether a token is still good", "RFC 7662 §2"},
		{"POST", "/revoke", "", "ends a token and what came with it", "RFC 7009 §2"},
		{"GET, POST", "/logout", issuer + "/logout", "ends the provider's session", "OIDC RP-Initiated Logout §2"},
		{"GET", "/session", "", "a frame in which a client's page watches the session", "OIDC Session Management §3.2"},
		{"GET", "/readyz", issuer + "/readyz", "whether the provider is ready", ""},
	}
	if registration {
		list = append(list,
			endpoint{"POST", "/register", "", "registers a client", "RFC 7591 §3"},
			endpoint{"GET, PUT, DELETE", "/register/{client_id}", "", "reads, replaces, deletes it", "RFC 7592 §2"},
		)
	}
	return list
}
