package web_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/clients/internal/web"
)

func site() web.Site {
	return web.Site{
		Files: fstest.MapFS{
			"index.html":    {Data: []byte("<!doctype html><title>page</title>")},
			"silent.html":   {Data: []byte("<!doctype html><title>silent</title>")},
			"page.js":       {Data: []byte("export {};")},
			"deep/part.js":  {Data: []byte("export {};")},
			"notes.go":      {Data: []byte("package notes")},
			"no-extension":  {Data: []byte("?")},
			"deep/.keep.js": {Data: []byte("")},
		},
		Config:  map[string]string{"issuer": "http://op.example"},
		Connect: []string{"http://op.example", "http://api.example"},
		Frame:   []string{"http://op.example"},
	}
}

func get(t *testing.T, h http.Handler, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://client.example/", nil)
	r.URL.Path = target // as it arrives: not cleaned by a parser
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPaths(t *testing.T) {
	const noCache, noStore = "no-cache", "no-store"
	tests := []struct {
		path, contentType, cache, contains string
	}{
		{"/", "text/html; charset=utf-8", noCache, "<title>page"},
		{"/callback", "text/html; charset=utf-8", noStore, "<title>page"},
		{"/silent", "text/html; charset=utf-8", noStore, "<title>silent"},
		{"/config.json", "application/json", noStore, `{"issuer":"http://op.example"}`},
		{"/page.js", "text/javascript; charset=utf-8", noCache, "export"},
		{"/deep/part.js", "text/javascript; charset=utf-8", noCache, "export"},
		{"/chrome/style.css", "text/css; charset=utf-8", noCache, "--party"},
		{"/chrome/chrome.js", "text/javascript; charset=utf-8", noCache, "export function mount"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			res := get(t, site().Handler(), http.MethodGet, tt.path, nil)
			got := []string{res.Status, res.Header.Get("Content-Type"), res.Header.Get("Cache-Control")}
			if diff := cmp.Diff([]string{"200 OK", tt.contentType, tt.cache}, got); diff != "" {
				t.Error(diff)
			}
			if b := body(t, res); !strings.Contains(b, tt.contains) {
				t.Errorf("body lacks %q", tt.contains)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	for _, path := range []string{
		"/nothing.js", "/deep", "/deep/", "/chrome", "/chrome/", "/chrome/none.js", "/notes.go", "/no-extension",
		"/../web.go", "/chrome/../web.go", "/chrome/../../web.go", "//etc/passwd.html", "/./page.js", "/deep//part.js",
		"/callback/", "/silent/", "/page.js/",
	} {
		t.Run(path, func(t *testing.T) {
			res := get(t, site().Handler(), http.MethodGet, path, nil)
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("status %d", res.StatusCode)
			}
			if res.Header.Get("Content-Security-Policy") == "" {
				t.Error("a 404 without a policy")
			}
		})
	}
}

func TestNoSilentPage(t *testing.T) {
	s := site()
	s.Files = fstest.MapFS{"index.html": {Data: []byte("x")}}
	if res := get(t, s.Handler(), http.MethodGet, "/silent", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestMethods(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		res := get(t, site().Handler(), method, "/", nil)
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, Allow %q", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
	res := get(t, site().Handler(), http.MethodHead, "/page.js", nil)
	if res.StatusCode != http.StatusOK || body(t, res) != "" || res.Header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: status %d, length %s", res.StatusCode, res.Header.Get("Content-Length"))
	}
}

func TestHeaders(t *testing.T) {
	res := get(t, site().Handler(), http.MethodGet, "/", nil)
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
			"connect-src 'self' http://op.example http://api.example; frame-src 'self' http://op.example; " +
			"frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
		"Referrer-Policy":        "no-referrer",
		"X-Content-Type-Options": "nosniff",
	}
	got := map[string]string{}
	for name := range want {
		got[name] = res.Header.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNotModified(t *testing.T) {
	for _, path := range []string{"/", "/page.js", "/chrome/style.css"} {
		etag := get(t, site().Handler(), http.MethodGet, path, nil).Header.Get("ETag")
		if etag == "" {
			t.Fatalf("%s has no ETag", path)
		}
		res := get(t, site().Handler(), http.MethodGet, path, http.Header{"If-None-Match": {etag}})
		if res.StatusCode != http.StatusNotModified || body(t, res) != "" {
			t.Errorf("%s: same ETag gives status %d", path, res.StatusCode)
		}
		res = get(t, site().Handler(), http.MethodGet, path, http.Header{"If-None-Match": {`"other"`}})
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: other ETag gives status %d", path, res.StatusCode)
		}
	}
	// A page whose URL held a code is fetched whole each time.
	if etag := get(t, site().Handler(), http.MethodGet, "/callback", nil).Header.Get("ETag"); etag != "" {
		t.Errorf("/callback has ETag %s", etag)
	}
}

func TestConfigThatIsNoJSON(t *testing.T) {
	s := site()
	s.Config = func() {}
	if res := get(t, s.Handler(), http.MethodGet, "/config.json", nil); res.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestOrigin(t *testing.T) {
	tests := []struct{ in, want string }{
		{"http://op.lab.localhost:8080", "http://op.lab.localhost:8080"},
		{"https://op.example/tenant/1?x=y#z", "https://op.example"},
		{"https://user:password@op.example/", "https://op.example"},
		{"", ""},
		{"not a url", ""},
		{"/path", ""},
		{"http://%zz", ""},
	}
	for _, tt := range tests {
		if got := web.Origin(tt.in); got != tt.want {
			t.Errorf("Origin(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
