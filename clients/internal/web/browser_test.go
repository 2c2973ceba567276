package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/oidclab/oidclab/clients/internal/browsertest"
	"github.com/oidclab/oidclab/clients/internal/web"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

// openPage serves a page whose only script is the given module, under the real
// content security policy, and opens it in a browser.
func openPage(t *testing.T, module string, more http.Handler) *browsertest.Tab {
	t.Helper()
	pages := web.Site{Files: fstest.MapFS{
		"index.html": {Data: []byte(`<!doctype html><html lang="en" data-party="frontend"><title>test</title>` +
			`<link rel="icon" href="data:,"><script type="module" src="/page.js"></script>` +
			`<body data-state="loading"><a id="home">home</a><p id="who"></p><div id="error" hidden></div><div id="notice" hidden></div>` +
			`<button id="press">press</button><div id="holdings"></div><div id="id-token"></div><div id="api-result"></div><ol id="steps"></ol></body></html>`)},
		"page.js": {Data: []byte(module + "\ndocument.body.dataset.ready = 'yes';\n")},
	}}.Handler()
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	if more != nil {
		mux.Handle("/fake/", more)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	tab := browsertest.Open(t)
	tab.Navigate(server.URL)
	tab.Wait("body[data-ready]")
	return tab
}
