package provider_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/storagetest"
)

// readsNoted is a store that notes which records are read. It does not note Keys and
// KeysVersion, which are asked for from time to time and not for each request, nor
// Clients, which only the start and the cleaning read.
type readsNoted struct {
	storage.Store
	mu    sync.Mutex
	reads []string
}

func (s *readsNoted) note(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, kind)
}

// take returns what was read since it was called last, sorted.
func (s *readsNoted) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.reads)
	defer func() { s.reads = nil }()
	return strings.Join(s.reads, " ")
}

func (s *readsNoted) Grant(ctx context.Context, id string) (storage.Grant, error) {
	s.note("Grant")
	return s.Store.Grant(ctx, id)
}

func (s *readsNoted) Code(ctx context.Context, id storage.Digest) (storage.Code, storage.Grant, error) {
	s.note("Code")
	return s.Store.Code(ctx, id)
}

func (s *readsNoted) AccessToken(ctx context.Context, id storage.Digest) (storage.AccessToken, storage.Grant, error) {
	s.note("AccessToken")
	return s.Store.AccessToken(ctx, id)
}

func (s *readsNoted) RefreshToken(ctx context.Context, id storage.Digest) (storage.RefreshToken, storage.Grant, error) {
	s.note("RefreshToken")
	return s.Store.RefreshToken(ctx, id)
}

func (s *readsNoted) Session(ctx context.Context, id storage.Digest) (storage.Session, error) {
	s.note("Session")
	return s.Store.Session(ctx, id)
}

func (s *readsNoted) Consent(ctx context.Context, subject, clientID string) (storage.Consent, error) {
	s.note("Consent")
	return s.Store.Consent(ctx, subject, clientID)
}

func (s *readsNoted) SessionClients(ctx context.Context, sid string) ([]storage.SessionClient, error) {
	s.note("SessionClients")
	return s.Store.SessionClients(ctx, sid)
}

func (s *readsNoted) Client(ctx context.Context, id string) (storage.Client, error) {
	s.note("Client")
	return s.Store.Client(ctx, id)
}

func (s *readsNoted) HasOrigin(ctx context.Context, origin string) (bool, error) {
	s.note("HasOrigin")
	return s.Store.HasOrigin(ctx, origin)
}

func (s *readsNoted) Seen(ctx context.Context, id storage.Digest) (bool, error) {
	s.note("Seen")
	return s.Store.Seen(ctx, id)
}

func (s *readsNoted) PushedRequest(ctx context.Context, id storage.Digest) (storage.PushedRequest, error) {
	s.note("PushedRequest")
	return s.Store.PushedRequest(ctx, id)
}

func (s *readsNoted) DeviceCode(ctx context.Context, id storage.Digest) (storage.DeviceCode, error) {
	s.note("DeviceCode")
	return s.Store.DeviceCode(ctx, id)
}

func (s *readsNoted) DeviceCodeOf(ctx context.Context, userCode string) (storage.DeviceCode, error) {
	s.note("DeviceCodeOf")
	return s.Store.DeviceCodeOf(ctx, userCode)
}

// readsFlow is one registered client's flow, request by request.
type readsFlow struct {
	*inProcess
	t                     *testing.T
	client                answer // its registration
	page                  string // where the browser was sent
	form                  url.Values
	redeemed, rotated     params // token requests that were answered
	tokens, pushed, begun answer // the last of each kind; begun is of a device
}

// id are the parameters that name and authenticate the client.
func (f *readsFlow) id(r *http.Request) {
	r.SetBasicAuth(f.client.text("client_id"), f.client.text("client_secret"))
}

func (f *readsFlow) post(path string, p params) answer {
	f.t.Helper()
	return f.answer(f.t, http.MethodPost, path, p.values(), f.id)
}

// browse sends a browser's request; it keeps what the answer tells of the next one.
func (f *readsFlow) browse(method, target string, form url.Values) int {
	f.t.Helper()
	rec := f.do(f.t, method, target, form, nil)
	if location := rec.Header().Get("Location"); location != "" {
		f.page = location
	}
	if body := rec.Body.String(); strings.Contains(body, "<form") {
		f.form = inputs(f.t, body)
	}
	return rec.Code
}

// fill submits the form of the page that came last.
func (f *readsFlow) fill(path string, fields params) int {
	f.t.Helper()
	for name, value := range fields {
		f.form.Set(name, value)
	}
	return f.browse(http.MethodPost, path, f.form)
}

// readsSteps are the requests of a flow, and what each reads of the store. A request
// goes by what it has read, and reads no record twice: but for a client that comes with
// a code, a token or a request, which is looked for once more after it has
// authenticated. That may take long, and the client may be gone or another by then.
func readsSteps() []readsStep {
	return []readsStep{
		{"authorize", 303, "Client", func(f *readsFlow) int {
			return f.browse(http.MethodGet, "/authorize?"+f.request().values().Encode(), nil)
		}},
		{"login page", 200, "Client", func(f *readsFlow) int { return f.browse(http.MethodGet, f.page, nil) }},
		{"login", 303, "Client Consent", func(f *readsFlow) int {
			return f.fill("/login", params{"username": "alice", "password": "alice"})
		}},
		{"consent page", 200, "Client Consent Session", func(f *readsFlow) int { return f.browse(http.MethodGet, f.page, nil) }},
		{"consent", 303, "Client Session", func(f *readsFlow) int {
			return f.fill("/consent", params{"decision": "allow"})
		}},
		{"code", 200, "Client Client Code", func(f *readsFlow) int {
			f.redeemed = params{
				"grant_type": "authorization_code", "code": f.answered().Get("code"), "redirect_uri": providertest.RedirectURI, "code_verifier": verifier,
			}
			f.tokens = f.post("/token", f.redeemed)
			return f.tokens.Status
		}},
		{"userinfo", 200, "AccessToken Client", func(f *readsFlow) int { return f.userinfo(f.t, f.tokens.text("access_token")) }},
		{"introspection of an access token", 200, "AccessToken Client Client", func(f *readsFlow) int {
			return f.introspect("access_token")
		}},
		{"introspection of a refresh token", 200, "AccessToken Client Client RefreshToken", func(f *readsFlow) int {
			return f.introspect("refresh_token")
		}},
		{"refresh", 200, "Client Client RefreshToken", func(f *readsFlow) int {
			f.rotated = params{"grant_type": "refresh_token", "refresh_token": f.tokens.text("refresh_token")}
			f.tokens = f.post("/token", f.rotated)
			return f.tokens.Status
		}},
		{"refresh, once more", 400, "Client Client RefreshToken", func(f *readsFlow) int { return f.post("/token", f.rotated).Status }},
		{"code, once more", 400, "Client Client Code", func(f *readsFlow) int { return f.post("/token", f.redeemed).Status }},
		{"client credentials", 200, "Client", func(f *readsFlow) int {
			return f.post("/token", params{"grant_type": "client_credentials"}).Status
		}},
		{"pushed request", 201, "Client Client", func(f *readsFlow) int {
			f.pushed = f.post("/par", f.request())
			return f.pushed.Status
		}},
		{"authorize by the pushed request, signed in", 303, "Client Consent PushedRequest Seen Session", func(f *readsFlow) int {
			query := params{"client_id": f.client.text("client_id"), "request_uri": f.pushed.text("request_uri")}
			return f.browse(http.MethodGet, "/authorize?"+query.values().Encode(), nil)
		}},
		{"device authorization", 200, "Client", func(f *readsFlow) int {
			f.begun = f.post("/device_authorization", params{"scope": "openid"})
			return f.begun.Status
		}},
		{"device page", 200, "", func(f *readsFlow) int {
			return f.browse(http.MethodGet, "/device?user_code="+f.begun.text("user_code"), nil)
		}},
		{"device page, the code", 303, "Client DeviceCodeOf", func(f *readsFlow) int { return f.fill("/device", nil) }},
		{"device page, the question", 200, "Client DeviceCodeOf Session", func(f *readsFlow) int { return f.browse(http.MethodGet, f.page, nil) }},
		{"device page, the decision", 200, "Client DeviceCodeOf Session", func(f *readsFlow) int {
			return f.fill("/device", params{"decision": "allow"})
		}},
		{"device code", 200, "Client Client DeviceCode Grant", func(f *readsFlow) int {
			f.tokens = f.post("/token", params{"grant_type": grantDevice, "device_code": f.begun.text("device_code")})
			return f.tokens.Status
		}},
		{"revocation", 200, "AccessToken Client Client", func(f *readsFlow) int {
			return f.post("/revoke", params{"token": f.tokens.text("access_token")}).Status
		}},
	}
}

type readsStep struct {
	name   string
	status int    // of the answer
	reads  string // sorted
	send   func(*readsFlow) int
}

// request is the client's authorization request.
func (f *readsFlow) request() params {
	return codeRequest().with(params{"client_id": f.client.text("client_id"), "scope": "openid offline_access"})
}

// answered are the parameters with which the browser was sent back to the client.
func (f *readsFlow) answered() url.Values {
	f.t.Helper()
	callback, err := url.Parse(f.page)
	if err != nil {
		f.t.Fatal(err)
	}
	return response(f.t, callback)
}

// introspect asks about one of the flow's tokens, which must be active.
func (f *readsFlow) introspect(kind string) int {
	f.t.Helper()
	a := f.post("/introspect", params{"token": f.tokens.text(kind)})
	if a.Body["active"] != true {
		f.t.Errorf("the %s: %s", kind, a.Raw)
	}
	return a.Status
}

// TestReadsOnce counts what each request of a flow reads.
func TestReadsOnce(t *testing.T) {
	store := &readsNoted{Store: storagetest.NewModel()}
	f := &readsFlow{t: t, inProcess: serving(t, provider.Config{
		Store: store, FixedKeys: fixedKeys(), Registration: provider.Registration{InitialAccessToken: initialToken},
	})}
	f.client = f.json(t, http.MethodPost, "/register", smallest().with(document{
		"grant_types": []string{"authorization_code", "refresh_token", "client_credentials", grantDevice},
	}), bearer(initialToken))
	if f.client.Status != http.StatusCreated {
		t.Fatalf("register: %d %s", f.client.Status, f.client.Raw)
	}
	store.take()
	for _, step := range readsSteps() {
		status := step.send(f)
		if reads := store.take(); status != step.status || reads != step.reads {
			t.Errorf("%s: status %d, want %d; read %q, want %q", step.name, status, step.status, reads, step.reads)
		}
	}
}
