package provider_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
)

// inProcess calls the provider's handler without a network and with the store's
// reference model, so that testing/synctest can move the clock.
type inProcess struct {
	handler http.Handler
	cookies map[string]string
}

func newInProcess(t *testing.T) *inProcess {
	t.Helper()
	op := serving(t, provider.Config{})
	if err := op.provider().Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return op
}

func (op *inProcess) do(t *testing.T, method, target string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "http://op.localhost"+target, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range op.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if change != nil {
		change(req)
	}
	rec := httptest.NewRecorder()
	op.handler.ServeHTTP(rec, req)
	for _, cookie := range rec.Result().Cookies() {
		op.cookies[cookie.Name] = cookie.Value
	}
	return rec
}

// authorize sends an authorization request and signs alice in where the
// provider asks for it; it returns the response's parameters.
func (op *inProcess) authorize(t *testing.T, p params) url.Values {
	t.Helper()
	return op.authorizeAs(t, "alice", p)
}

// authorizeAs is authorize for any user, whose password is the name.
func (op *inProcess) authorizeAs(t *testing.T, user string, p params) url.Values {
	t.Helper()
	rec := op.do(t, http.MethodGet, "/authorize?"+p.values().Encode(), nil, nil)
	for _, page := range []struct {
		path string
		fill params
	}{
		{"/login", params{"username": user, "password": user}},
		{"/consent", params{"decision": "allow"}},
	} {
		location := rec.Header().Get("Location")
		if !strings.HasPrefix(location, page.path+"?") {
			continue
		}
		form := inputs(t, op.do(t, http.MethodGet, location, nil, nil).Body.String())
		time.Sleep(time.Nanosecond) // a bubble's clock stands still, and a login comes after its request
		for name, value := range page.fill {
			form.Set(name, value)
		}
		rec = op.do(t, http.MethodPost, page.path, form, nil)
	}
	callback, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || !strings.HasPrefix(callback.String(), providertest.RedirectURI) {
		t.Fatalf("no redirect to the client but %d to %q:\n%s", rec.Code, callback, rec.Body)
	}
	return response(t, callback)
}

func (op *inProcess) code(t *testing.T) string {
	t.Helper()
	return op.authorize(t, codeRequest()).Get("code")
}

func (op *inProcess) token(t *testing.T, p params) answer {
	t.Helper()
	rec := op.do(t, http.MethodPost, "/token", p.values(), nil)
	a := answer{Status: rec.Code, Header: rec.Header(), Raw: rec.Body.String()}
	if err := json.Unmarshal(rec.Body.Bytes(), &a.Body); err != nil {
		t.Fatal(err)
	}
	return a
}

func (op *inProcess) userinfo(t *testing.T, token string) int {
	t.Helper()
	return op.do(t, http.MethodGet, "/userinfo", nil, bearer(token)).Code
}

// inputs returns the fields of all forms of a page.
func inputs(t *testing.T, page string) url.Values {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{}
	for node := range root.Descendants() {
		var name, value string
		for _, a := range node.Attr {
			switch a.Key {
			case "name":
				name = a.Val
			case "value":
				value = a.Val
			}
		}
		if node.Type == html.ElementNode && node.Data == "input" && name != "" {
			form.Set(name, value)
		}
	}
	return form
}
