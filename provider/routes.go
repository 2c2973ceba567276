package provider

import (
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

// route is one endpoint. Methods other than these are answered 405.
type route struct {
	path    string
	methods string
	handler http.HandlerFunc
	// cors opens the endpoint to scripts of other origins; nil keeps it closed.
	cors func(http.HandlerFunc) http.HandlerFunc
}

// table has every endpoint below the issuer's path.
func (p *Provider) table() []route {
	register, registration := p.handleRegister, p.handleRegistration
	if !p.registrar.enabled {
		register, registration = p.handleNoRegistration, p.handleNoRegistration
	}
	return []route{
		{pathConfiguration, "GET, HEAD", p.handleMetadata, openToAll},
		{pathOAuthMetadata, "GET, HEAD", p.handleMetadata, openToAll},
		{pathJWKS, "GET, HEAD", p.handleJWKS, openToAll},
		{pathAuthorize, "GET, POST", p.handleAuthorize, nil},
		{pathResume, "GET", p.handleResume, nil},
		{pathLogin, "GET, POST", p.handleLogin, nil},
		{pathConsent, "GET, POST", p.handleConsent, nil},
		{pathLogout, "GET, POST", p.handleLogout, nil},
		{pathCheckSession, "GET, HEAD", p.handleCheckSession, nil},
		{pathPushed, "POST", p.handlePushedRequest, p.openToClients},
		{pathToken, "POST", p.handleToken, p.openToClients},
		{pathUserInfo, "GET, POST", p.handleUserInfo, p.openToClients},
		{pathRevoke, "POST", p.handleRevoke, p.openToClients},
		{pathIntrospect, "POST", p.handleIntrospect, nil},
		// Closed to pages of other sites, which could else register clients at a
		// provider that only their visitor can reach; see mayRegister.
		{pathRegister, "POST", register, nil},
		{pathRegister + "/{client_id}", "GET, PUT, DELETE", registration, nil},
		{pathDeviceAuth, "POST", p.handleDeviceAuthorization, p.openToClients},
		{pathDevice, "GET, POST", p.handleDevice, nil},
		{pathStylesheet, "GET, HEAD", p.pages.stylesheet, nil},
		{pathHealth, "GET, HEAD", p.handleHealth, nil},
		{pathReady, "GET, HEAD", p.handleReady, nil},
		{"/", "GET, HEAD", p.handleHome, nil},
	}
}

// routes builds the handler for the table.
func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range p.table() {
		mux.HandleFunc(p.base+exact(rt.path), p.endpoint(rt))
		if rt.path == pathOAuthMetadata && p.base != "" {
			// RFC 8414 §3.1 puts the well-known part before the issuer's path.
			mux.HandleFunc(rt.path+p.base, p.endpoint(rt))
		}
	}
	mux.HandleFunc("/", p.counted(route{}, p.handleNotFound))
	return p.guard(mux)
}

// endpoint is a route's handler with its methods and its CORS, and counted.
func (p *Provider) endpoint(rt route) http.HandlerFunc {
	handler := p.onlyMethods(rt.methods, rt.handler)
	if rt.cors == nil {
		return p.counted(rt, handler)
	}
	options := preflight(rt.methods + ", OPTIONS")
	return p.counted(rt, rt.cors(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			options(w, r)
			return
		}
		handler(w, r)
	}))
}

// exact keeps "/" from matching everything.
func exact(path string) string {
	if path == "/" {
		return "/{$}"
	}
	return path
}

func (p *Provider) onlyMethods(methods string, next http.HandlerFunc) http.HandlerFunc {
	allowed := strings.Split(methods, ", ")
	return func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(allowed, r.Method) {
			next(w, r)
			return
		}
		w.Header().Set("Allow", methods)
		what := "The method is not allowed here. Allowed: " + methods + "."
		if strings.Contains(r.Header.Get("Accept"), "text/html") { // a person's browser
			p.pages.error(w, errorPage{Status: http.StatusMethodNotAllowed, Code: "invalid_request", Description: what})
			return
		}
		p.writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "invalid_request", "error_description": what})
	}
}

// guard stands before every endpoint: headers for all answers, and a panic
// becomes an answer instead of a closed connection.
func (p *Provider) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
					panic(cause)
				}
				p.log.ErrorContext(r.Context(), "panic", "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
				p.writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
			}
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// handleHome serves GET /: what this is, for a person who comes by.
func (p *Provider) handleHome(w http.ResponseWriter, r *http.Request) {
	session, err := p.currentSession(r)
	if err != nil {
		p.pageError(w, r, err)
		return
	}
	page := homePage{Issuer: p.issuer, Registration: p.registrar.enabled}
	if session != nil {
		page.Username, page.Name = session.user.Username, session.user.displayName()
	}
	p.pages.home(w, page)
}

func (p *Provider) handleNotFound(w http.ResponseWriter, _ *http.Request) {
	p.pages.error(w, errorPage{
		Status: http.StatusNotFound, Code: "not_found", Description: "The provider has nothing at this address.",
	})
}
