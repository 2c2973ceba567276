package provider_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidclab/oidclab/provider"
	"github.com/oidclab/oidclab/provider/providertest"
	"github.com/oidclab/oidclab/storage/bolt"
)

// The cost of the provider's own work, without a network, on a durable store. What
// it is compared with, an RSA signature, is measured in the same run.

// testCostHash is the password "alice", hashed with argon2id at the least cost there
// is: what is measured is everything else.
const testCostHash = "$argon2id$v=19$m=8,t=1,p=1$b2lkY2xhYi1iZW5jaA$a95R/P1byEdlgim4NQ7b9b5BWHW/ADv7TeBjyrDtLYc"

// benchClients sign ID tokens with each algorithm; all are confidential.
func benchClients() []provider.Client {
	var clients []provider.Client
	for _, alg := range []string{"RS256", "ES256"} {
		clients = append(clients, provider.Client{
			ID: alg, Secret: resourceSecret, RedirectURIs: []string{providertest.RedirectURI},
			IDTokenSignedResponseAlg: alg, SkipConsent: true,
			GrantTypes: []string{"authorization_code", "refresh_token"}, Scope: "openid profile email offline_access",
		})
	}
	return append(clients, provider.Client{
		ID: "machine", Secret: resourceSecret, GrantTypes: []string{"client_credentials"}, AccessTokenFormat: "opaque",
	})
}

type benchProvider struct {
	b       *testing.B
	handler http.Handler
}

// testCostUser is alice, whose password costs nothing.
func testCostUser() provider.User {
	return provider.User{Username: "alice", PasswordHash: testCostHash, Claims: map[string]any{"sub": "alice", "name": "Alice", "email": "alice@example.com"}}
}

func newBenchProvider(b *testing.B, user provider.User) *benchProvider {
	b.Helper()
	store, err := bolt.Open(filepath.Join(b.TempDir(), "op.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := provider.New(b.Context(), provider.Config{
		Issuer: "http://op.localhost", Store: store, Clients: benchClients(), FixedKeys: fixedKeys(),
		Users: []provider.User{user},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close(); _ = store.Close() })
	return &benchProvider{b, p}
}

func (op *benchProvider) send(method, target, body, cookies string, client string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://op.localhost"+target, strings.NewReader(body))
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	if client != "" {
		req.SetBasicAuth(client, resourceSecret)
	}
	rec := httptest.NewRecorder()
	op.handler.ServeHTTP(rec, req)
	return rec
}

// token posts to the token endpoint.
func (op *benchProvider) token(client, body string) map[string]any {
	rec := op.send(http.MethodPost, "/token", body, "", client)
	if rec.Code != http.StatusOK {
		op.b.Errorf("token: %d %s", rec.Code, rec.Body)
	}
	var answer map[string]any
	_ = json.Unmarshal(rec.Body.Bytes(), &answer)
	return answer
}

// flow is one whole code + PKCE flow with a login.
func (op *benchProvider) flow(client string) map[string]any {
	form, cookie := op.loginForm(client)
	callback, err := url.Parse(op.send(http.MethodPost, "/login", form.Encode(), cookie, "").Header().Get("Location"))
	if err != nil || !callback.Query().Has("code") {
		op.b.Fatalf("no code: %v %v", callback, err)
	}
	return op.token(client, redeem(callback.Query().Get("code")).with(params{"client_id": ""}).values().Encode())
}

// measure runs work under load and says what it costs: in processor time, and as a
// multiple of one RSA-2048 signature's, measured before and after on the same machine.
func measure(b *testing.B, goroutinesPerCPU int, work func(pb *testing.PB)) {
	b.Helper()
	signature := signatureTime(b)
	b.SetParallelism(goroutinesPerCPU)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime()
	b.RunParallel(work)
	used := cpuTime() - start
	b.StopTimer()
	signature = (signature + signatureTime(b)) / 2
	each := used / time.Duration(b.N)
	b.ReportMetric(float64(each.Nanoseconds())/1000, "cpu-µs/op")
	b.ReportMetric(float64(each)/float64(signature), "rsa-signatures/op")
}

// signatureTime is the processor time of one RSA-2048 signature, while all processors
// sign: they may share what is slow, as they do under the load.
func signatureTime(b *testing.B) time.Duration {
	b.Helper()
	const each = 100
	key, digest := fixedKeys()[0].Key.(*rsa.PrivateKey), sha256.Sum256([]byte("oidclab"))
	start := cpuTime()
	var done sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for range each {
				if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	done.Wait()
	return (cpuTime() - start) / time.Duration(each*runtime.GOMAXPROCS(0))
}

func BenchmarkFlow(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		b.Run(alg, func(b *testing.B) {
			op := newBenchProvider(b, testCostUser())
			measure(b, 8, func(pb *testing.PB) {
				for pb.Next() {
					op.flow(alg)
				}
			})
		})
	}
}

func BenchmarkRefresh(b *testing.B) {
	op := newBenchProvider(b, testCostUser())
	measure(b, 32, func(pb *testing.PB) {
		tokens := op.flow("ES256")
		for pb.Next() {
			refresh, _ := tokens["refresh_token"].(string)
			tokens = op.token("ES256", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}.Encode())
		}
	})
}

func BenchmarkClientCredentials(b *testing.B) {
	op := newBenchProvider(b, testCostUser())
	measure(b, 32, func(pb *testing.PB) {
		for pb.Next() {
			op.token("machine", "grant_type=client_credentials")
		}
	})
}

func BenchmarkIntrospect(b *testing.B) {
	op := newBenchProvider(b, testCostUser())
	token, _ := op.token("machine", "grant_type=client_credentials")["access_token"].(string)
	body := url.Values{"token": {token}}.Encode()
	measure(b, 32, func(pb *testing.PB) {
		for pb.Next() {
			if rec := op.send(http.MethodPost, "/introspect", body, "", "machine"); !strings.Contains(rec.Body.String(), `"active":true`) {
				b.Errorf("introspect: %d %s", rec.Code, rec.Body)
			}
		}
	})
}
