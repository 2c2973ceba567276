package lab

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// dispatcher leads a request to the party whose host it names. The name only
// chooses; what a party says about itself comes from its configuration.
type dispatcher struct {
	byHost map[string]http.Handler // host with port, as in the parties' origins
	port   string
	home   string
	op     http.Handler
	names  []Party
}

func newDispatcher(parties []Party, handlers map[string]http.Handler) *dispatcher {
	d := &dispatcher{byHost: map[string]http.Handler{}, op: handlers[op], names: parties}
	for _, p := range parties {
		u, err := url.Parse(p.Origin)
		if err != nil {
			panic(err) // made by this package
		}
		d.byHost[u.Host] = handlers[p.Name]
		d.port = u.Port()
	}
	d.home = origins(parties)[home]
	return d
}

func (d *dispatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := strings.ToLower(r.Host)
	if h, ok := d.byHost[host]; ok {
		h.ServeHTTP(w, r)
		return
	}
	if !d.isThisMachine(host) {
		d.misdirected(w)
		return
	}
	switch r.URL.Path {
	case "/healthz", "/readyz": // for a container's own check, which knows no names
		d.op.ServeHTTP(w, r)
	default:
		http.Redirect(w, r, d.home+"/", http.StatusFound)
	}
}

// isThisMachine reports whether host is what a person would type first.
func (d *dispatcher) isThisMachine(host string) bool {
	name := host
	if d.port != "" {
		var port string
		var err error
		if name, port, err = net.SplitHostPort(host); err != nil || port != d.port {
			return false
		}
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// misdirected answers a request for a name that nobody here has
// (RFC 9110 §15.5.20).
func (d *dispatcher) misdirected(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusMisdirectedRequest)
	fmt.Fprint(w, "This name leads nowhere in the lab. These do:\n\n")
	for _, p := range d.names {
		fmt.Fprintf(w, "  %-24s%s\n", p.Name, p.Origin)
	}
}
