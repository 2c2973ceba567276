package provider_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/storagetest"
)

const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// push sends a request to /par. It must be accepted.
func push(t *testing.T, op *providertest.Server, p params, auth func(*http.Request)) string {
	t.Helper()
	a := postForm(t, op.URL()+"/par", p, auth)
	if a.Status != http.StatusCreated {
		t.Fatalf("push: %d %s", a.Status, a.Raw)
	}
	return a.text("request_uri")
}

// pushed is the request that the browser then brings.
func pushed(client, uri string) params { return params{"client_id": client, "request_uri": uri} }

// From the pushed request to tokens, RFC 9126 §2, §4.
func TestPushedRequest(t *testing.T) {
	op := providertest.Start(t, nil)
	for _, tt := range []struct {
		client  string
		request params
		auth    func(*http.Request)
	}{
		{providertest.PublicClient, codeRequest(), func(*http.Request) {}},
		{providertest.ConfidentialClient, webRequest().with(params{"client_id": ""}), asWeb},
	} {
		t.Run(tt.client, func(t *testing.T) {
			a := postForm(t, op.URL()+"/par", tt.request, tt.auth)
			uri := a.text("request_uri")
			if a.Status != http.StatusCreated || a.Body["expires_in"] != 90. || a.Header.Get("Cache-Control") != "no-store" ||
				!strings.HasPrefix(uri, pushedPrefix) || (len(uri)-len(pushedPrefix))*6 < 128 {
				t.Fatalf("%d %s", a.Status, a.Raw)
			}
			// What stands beside it counts for nothing.
			request := codeRequest().with(params{
				"scope": "openid phone", "state": "outside-0123456789", "nonce": "outside", "redirect_uri": "https://evil.example/",
				"response_type": "code id_token", "prompt": "none", "request": "e30.e30.e30", "code_challenge": challenge("another"), "max_age": "soon",
			}).with(pushed(tt.client, uri))
			got := signIn(t, op, request)
			if got.Get("state") != "state-0123456789" || got.Get("iss") != op.URL() {
				t.Errorf("callback: %v", got)
			}
			redemption := redeem(got.Get("code")).with(params{"client_id": tt.client})
			if tt.client == providertest.ConfidentialClient {
				redemption = redemption.with(params{"code_verifier": ""})
			}
			tokens := postForm(t, op.URL()+"/token", redemption, tt.auth)
			if tokens.text("scope") != "openid profile email offline_access" {
				t.Errorf("tokens: %d %s", tokens.Status, tokens.Raw)
			}
			if nonce := claimsOf(t, tokens.text("id_token"))["nonce"]; nonce != "nonce-0123456789" {
				t.Errorf("nonce %v", nonce)
			}
		})
	}
}

// RFC 9126 §2.3: everything that the authorization endpoint would refuse is
// refused at once, as JSON.
func TestPushedRequestsThatAreRefused(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[1].Scope = "openid profile"
	op := providertest.Start(t, &providertest.Options{Clients: clients})
	long := strings.Repeat("x", 16<<10)
	for name, tt := range map[string]struct {
		change params
		auth   func(*http.Request)
		status int
		want   string
	}{
		"no client authentication":     {nil, func(*http.Request) {}, 401, "invalid_client"},
		"a wrong secret":               {nil, func(r *http.Request) { r.SetBasicAuth("web", "x") }, 401, "invalid_client"},
		"an unknown client":            {params{"client_id": ""}, func(r *http.Request) { r.SetBasicAuth("nobody", "x") }, 401, "invalid_client"},
		"client_id of another":         {params{"client_id": "spa"}, asWeb, 400, "invalid_request"},
		"request_uri":                  {params{"request_uri": pushedPrefix + "x"}, asWeb, 400, "invalid_request"},
		"redirect_uri missing":         {params{"redirect_uri": ""}, asWeb, 400, "invalid_request"},
		"redirect_uri not registered":  {params{"redirect_uri": "https://evil.example/"}, asWeb, 400, "invalid_request"},
		"response_type missing":        {params{"response_type": ""}, asWeb, 400, "invalid_request"},
		"response_type unknown":        {params{"response_type": "token"}, asWeb, 400, "unsupported_response_type"},
		"response_mode unknown":        {params{"response_mode": "pigeon"}, asWeb, 400, "invalid_request"},
		"scope not registered":         {params{"scope": "openid email"}, asWeb, 400, "invalid_scope"},
		"plain PKCE":                   {params{"code_challenge": "x", "code_challenge_method": "plain"}, asWeb, 400, "invalid_request"},
		"prompt unknown":               {params{"prompt": "dance"}, asWeb, 400, "invalid_request"},
		"foreign id_token_hint":        {params{"id_token_hint": "e30.e30.e30"}, asWeb, 400, "invalid_request"},
		"claims":                       {params{"claims": "[]"}, asWeb, 400, "invalid_request"},
		"claims that cannot be met":    {params{"claims": `{"id_token": {"acr": {"essential": true, "value": "x"}}}`}, asWeb, 400, "unmet_authentication_requirements"},
		"resource":                     {params{"resource": "x"}, asWeb, 400, "invalid_target"},
		"a bad request object":         {params{"request": "e30.e30."}, asWeb, 400, "invalid_request_object"},
		"registration":                 {params{"registration": "{}"}, asWeb, 400, "registration_not_supported"},
		"dpop_jkt":                     {params{"dpop_jkt": "x"}, asWeb, 400, "invalid_request"},
		"too long to travel":           {params{"claims": `{"x":"` + long[:16<<10-8] + `"}`, "x": long[:4096], "y": long[:4096], "z": long[:4096], "a": long[:4096], "b": long[:4096]}, asWeb, 400, "invalid_request"},
		"a public client without PKCE": {params{"client_id": "spa"}, func(*http.Request) {}, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			request := webRequest().with(params{"scope": "openid profile"}).with(tt.change)
			wantError(t, postForm(t, op.URL()+"/par", request, tt.auth), tt.status, tt.want)
		})
	}
	push(t, op, webRequest().with(params{"scope": "openid profile"}), asWeb)
	if a := get(t, op.URL()+"/par", nil); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", a.Status, a.Header.Get("Allow"))
	}
}

// A request_uri that is no good leads to a page, whatever stands beside it.
func TestPushedRequestURIs(t *testing.T) {
	op := providertest.Start(t, nil)
	uri := push(t, op, codeRequest(), nil)
	b := providertest.NewBrowser(t)
	for name, request := range map[string]params{
		"unknown":           pushed("spa", pushedPrefix+"unknown"),
		"changed":           pushed("spa", uri+"x"),
		"nothing but a urn": pushed("spa", pushedPrefix),
		"of another client": pushed("web", uri),
	} {
		t.Run(name, func(t *testing.T) {
			wantErrorPage(t, b.Get(authorizeURL(op, request)), "invalid_request_uri", "request_uri")
			wantErrorPage(t, b.Get(authorizeURL(op, codeRequest().with(request))), "invalid_request_uri")
		})
	}
	wantErrorPage(t, b.Get(authorizeURL(op, params{"request_uri": uri})), "invalid_request", "client_id")
	signIn(t, op, pushed("spa", uri))
}

// RFC 9126 §4: it can be opened again until it is answered, and is answered once.
func TestPushedRequestIsAnsweredOnce(t *testing.T) {
	op := providertest.Start(t, nil)
	first, second := providertest.NewBrowser(t), providertest.NewBrowser(t)
	uri := push(t, op, codeRequest(), nil)
	request := authorizeURL(op, pushed("spa", uri))
	alice := map[string]string{"username": "alice", "password": "alice"}
	first.Get(request)
	atConsent := second.Submit(second.Get(request), "submit", alice)
	if callback := first.SignIn(request, "alice", "alice"); !callback.Query().Has("code") {
		t.Fatalf("callback: %s", callback)
	}
	wantErrorPage(t, second.Submit(atConsent, "allow", nil), "invalid_request_uri", "used before")
	wantErrorPage(t, second.Submit(atConsent, "deny", nil), "invalid_request_uri", "used before")
	wantErrorPage(t, first.Get(request), "invalid_request_uri", "used before")

	// An error is an answer.
	uri = push(t, op, codeRequest().with(params{"prompt": "none"}), nil)
	if got := response(t, providertest.NewBrowser(t).Get(authorizeURL(op, pushed("spa", uri))).Callback).Get("error"); got != "login_required" {
		t.Errorf("silently: error %q", got)
	}
	wantErrorPage(t, first.Get(authorizeURL(op, pushed("spa", uri))), "invalid_request_uri", "used before")
	uri = push(t, op, codeRequest().with(params{"prompt": "consent"}), nil)
	page := first.Get(authorizeURL(op, pushed("spa", uri)))
	if denied := first.Submit(page, "deny", nil); response(t, denied.Callback).Get("error") != "access_denied" {
		t.Errorf("denied: %s", denied.Callback)
	}
	wantErrorPage(t, first.Get(authorizeURL(op, pushed("spa", uri))), "invalid_request_uri", "used before")
}

// Of many browsers that bring the same request, one gets a code.
func TestPushedRequestRace(t *testing.T) {
	op := serving(t, provider.Config{})
	op.authorize(t, codeRequest()) // signs alice in and has her consent
	a := op.answer(t, http.MethodPost, "/par", codeRequest().values(), nil)
	target := "http://op.localhost/authorize?" + pushed("spa", a.text("request_uri")).values().Encode()
	cookies := maps.Clone(op.cookies)
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes, refused := 0, 0
	for range 32 {
		wg.Go(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			for name, value := range cookies {
				req.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			rec := httptest.NewRecorder()
			op.handler.ServeHTTP(rec, req)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case strings.Contains(rec.Header().Get("Location"), "code="):
				codes++
			case rec.Code == http.StatusBadRequest && strings.Contains(rec.Body.String(), "invalid_request_uri"):
				refused++
			}
		})
	}
	wg.Wait()
	if codes != 1 || refused != 31 {
		t.Errorf("%d codes, %d refused", codes, refused)
	}
}

// The request_uri expires; whoever began in time may take their time.
func TestPushedRequestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := providertest.DefaultClients()
		clients[0].Lifetimes = &provider.Lifetimes{PushedRequest: provider.Duration(5 * time.Second)}
		store := storagetest.NewModel()
		op := serving(t, provider.Config{Clients: clients, Store: store})
		a := op.answer(t, http.MethodPost, "/par", codeRequest().values(), nil)
		if a.Body["expires_in"] != 5. {
			t.Errorf("%d %s", a.Status, a.Raw)
		}
		target := "/authorize?" + pushed("spa", a.text("request_uri")).values().Encode()
		time.Sleep(5*time.Second - time.Nanosecond)
		login := op.do(t, http.MethodGet, target, nil, nil).Header().Get("Location")
		if !strings.HasPrefix(login, "/login?") {
			t.Fatalf("in time: %s", login)
		}
		time.Sleep(time.Nanosecond)
		late := op.do(t, http.MethodGet, target, nil, nil)
		if late.Code != http.StatusBadRequest || !strings.Contains(late.Body.String(), "invalid_request_uri") || !strings.Contains(late.Body.String(), "expired") {
			t.Errorf("too late: %d\n%s", late.Code, late.Body)
		}
		time.Sleep(55 * time.Minute)
		if _, err := store.Sweep(t.Context(), time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
		form := inputs(t, op.do(t, http.MethodGet, login, nil, nil).Body.String())
		form.Set("username", "alice")
		form.Set("password", "alice")
		consent := op.do(t, http.MethodPost, "/login", form, nil).Header().Get("Location")
		form = inputs(t, op.do(t, http.MethodGet, consent, nil, nil).Body.String())
		form.Set("decision", "allow")
		done := op.do(t, http.MethodPost, "/consent", form, nil)
		if callback, err := url.Parse(done.Header().Get("Location")); err != nil || !callback.Query().Has("code") {
			t.Errorf("an hour later: %d %v\n%s", done.Code, callback, done.Body)
		}
	})
}

// RFC 9126 §5, §6: of a client, or of all, nothing but pushed requests is taken.
func TestPushedRequestsRequired(t *testing.T) {
	clients := providertest.DefaultClients()
	clients[0].RequirePushedAuthorizationRequests = true
	for name, tt := range map[string]struct {
		all  bool
		free params // a request that need not be pushed; nil for none
	}{
		"of a client": {false, webRequest()},
		"of all":      {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			op := providertest.Start(t, &providertest.Options{Clients: clients, Configure: func(c *provider.Config) { c.Requests.RequirePushed = tt.all }})
			if got := get(t, op.URL()+openIDConfiguration, nil).Body["require_pushed_authorization_requests"]; got != tt.all {
				t.Errorf("metadata: %v", got)
			}
			b := providertest.NewBrowser(t)
			wantRedirectError(t, op, b.Get(authorizeURL(op, codeRequest())), "query", "invalid_request")
			signIn(t, op, pushed("spa", push(t, op, codeRequest(), nil)))
			if tt.free != nil {
				signIn(t, op, tt.free)
			} else {
				wantRedirectError(t, op, b.Get(authorizeURL(op, webRequest())), "query", "invalid_request")
			}
		})
	}
}

// RFC 9126 §3: a request object can be pushed, and then nothing beside it counts.
func TestPushedRequestObject(t *testing.T) {
	op := startWithObjects(t)
	for _, client := range []string{objectClient, strictClient} {
		raw := object(t, jose.ES256, objectMembers(op, client).with(members{"state": nil}))
		got := signIn(t, op, pushed(client, push(t, op, codeRequest().with(byValue(client, raw)).with(params{"state": "outside"}), nil)))
		if !got.Has("code") || got.Has("state") {
			t.Errorf("%s: callback %v", client, got)
		}
	}
	// What the object lacks is missing.
	raw := object(t, jose.ES256, objectMembers(op, objectClient).with(members{"redirect_uri": nil}))
	wantError(t, postForm(t, op.URL()+"/par", codeRequest().with(byValue(objectClient, raw)), nil), http.StatusBadRequest, "invalid_request")
	unsignedRequest := codeRequest().with(params{"client_id": strictClient})
	wantError(t, postForm(t, op.URL()+"/par", unsignedRequest, nil), http.StatusBadRequest, "invalid_request")
}

// RFC 9449 §10.1: the key of the proof that comes with the pushed request must
// redeem the code.
func TestPushedRequestWithAProof(t *testing.T) {
	op := providertest.Start(t, nil)
	key, other := newDPoPKey(t), newDPoPKey(t)
	proving := func(k dpopKey, path string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("DPoP", k.proof(t, http.MethodPost, op.URL()+path, "", nil)) }
	}
	code := redeem(signIn(t, op, pushed("spa", push(t, op, codeRequest(), proving(key, "/par")))).Get("code"))
	wantError(t, postForm(t, op.URL()+"/token", code, nil), http.StatusBadRequest, "invalid_grant")
	wantError(t, postForm(t, op.URL()+"/token", code, proving(other, "/token")), http.StatusBadRequest, "invalid_grant")
	if a := postForm(t, op.URL()+"/token", code, proving(key, "/token")); a.Status != http.StatusOK || a.text("token_type") != "DPoP" {
		t.Errorf("the key itself: %d %s", a.Status, a.Raw)
	}

	both := codeRequest().with(params{"dpop_jkt": key.thumbprint(t)})
	push(t, op, both, proving(key, "/par"))
	wantError(t, postForm(t, op.URL()+"/par", both, proving(other, "/par")), http.StatusBadRequest, "invalid_dpop_proof")
	wantError(t, postForm(t, op.URL()+"/par", codeRequest(), proving(key, "/token")), http.StatusBadRequest, "invalid_dpop_proof")
	once := key.proof(t, http.MethodPost, op.URL()+"/par", "", nil)
	again := func(r *http.Request) { r.Header.Set("DPoP", once) }
	push(t, op, codeRequest(), again)
	wantError(t, postForm(t, op.URL()+"/par", codeRequest(), again), http.StatusBadRequest, "invalid_dpop_proof")
}

// A failure of ours uses nothing up.
func TestPushedRequestStoreFails(t *testing.T) {
	op, store := startFaulty(t, providertest.Options{})
	b, _ := signedIn(t, op)
	uri := push(t, op, codeRequest(), nil)
	store.fail("Commit")
	wantUnavailable(t, postForm(t, op.URL()+"/par", codeRequest(), nil))
	wantRedirectError(t, op, b.Get(authorizeURL(op, pushed("spa", uri))), "query", "temporarily_unavailable")
	store.repair()
	if page := b.Get(authorizeURL(op, pushed("spa", uri))); page.Callback == nil || !page.Callback.Query().Has("code") {
		t.Errorf("afterwards: %d\n%s", page.Status, page.Body)
	}
}
