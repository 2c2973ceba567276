package bolt_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/bolt"
)

// BenchmarkFlows counts what whole flows cost the file: each is two requests, the
// login that ends with a code and the code's redemption. BenchmarkRefreshes has one
// request each. Six goroutines share a transaction as sixteen connections do that have
// more to do than to commit.
func BenchmarkFlows(b *testing.B) {
	for _, goroutines := range []int{6, 16} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			s := benchStore(b)
			counted(b, s, 2, func() {
				share(b, goroutines, func(n int) error {
					f := newFlow(n, time.Now(), usual)
					if err := s.Commit(b.Context(), f.login()); err != nil {
						return err
					}
					return s.Commit(b.Context(), f.redeem(time.Now()))
				})
			})
		})
	}
}

// BenchmarkRefreshes has families that began before, of each a refresh at a time.
func BenchmarkRefreshes(b *testing.B) {
	const goroutines, families = 64, 6400
	s := benchStore(b)
	all := make(chan *flow, families)
	for n := range families {
		f := newFlow(n, time.Now(), usual)
		c := f.login()
		redeemed := f.redeem(time.Now())
		c.AccessTokens, c.RefreshTokens = redeemed.AccessTokens, redeemed.RefreshTokens
		if err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		all <- f
	}
	counted(b, s, 1, func() {
		share(b, goroutines, func(int) error {
			f := <-all
			defer func() { all <- f }()
			return s.Commit(b.Context(), f.refreshed(time.Now()))
		})
	})
}

// counted reports what run costs, for each request of which an operation has some.
func counted(b *testing.B, s *bolt.Store, requests float64, run func()) {
	b.Helper()
	before, memory := s.Costs(), &runtime.MemStats{}
	runtime.ReadMemStats(memory)
	mallocs, bytes := memory.Mallocs, memory.TotalAlloc
	run()
	b.StopTimer()
	runtime.ReadMemStats(memory)
	after := s.Costs()
	all := float64(b.N) * requests
	b.ReportMetric(float64(after.Writes-before.Writes)/all, "writes/request")
	b.ReportMetric(float64(after.PageBytes-before.PageBytes)/all, "page-B/request")
	b.ReportMetric(float64(after.Nodes-before.Nodes)/all, "nodes/request")
	b.ReportMetric(float64(after.Cursors-before.Cursors)/all, "cursors/request")
	b.ReportMetric(float64(memory.Mallocs-mallocs)/all, "allocs/request")
	b.ReportMetric(float64(memory.TotalAlloc-bytes)/all, "B/request")
	b.ReportMetric(all/float64(after.Transactions-before.Transactions), "requests/tx")
	b.ReportMetric(float64(after.Writes-before.Writes)/float64(after.Transactions-before.Transactions), "writes/tx")
}

// flow is one user's way through the provider, as far as the store hears of it.
type flow struct {
	n                              int
	began                          time.Time
	sid, grant                     string
	session, code, access, refresh storage.Digest
	lives                          lives
	turn                           int
}

// lives are how long its records live.
type lives struct{ access, session, grant time.Duration }

// usual are the provider's own.
var usual = lives{access: 10 * time.Minute, session: 8 * time.Hour, grant: 30 * 24 * time.Hour}

func newFlow(n int, now time.Time, l lives) *flow {
	return &flow{
		n: n, began: now, sid: flowName(n, "sid", now), grant: flowName(n, "grant", now),
		session: flowID(n, "session", now), code: flowID(n, "code", now), lives: l,
	}
}

// login is the request that answers the login form with a code.
func (f *flow) login() storage.Changes {
	subject := fmt.Sprintf("user-%d", f.n%1000)
	return storage.Changes{
		At: f.began,
		Sessions: []storage.Session{{
			ID: f.session, SID: f.sid, Subject: subject, ACR: "urn:oidclab:password", AMR: []string{"pwd"},
			AuthTime: f.began, ExpiresAt: f.began.Add(f.lives.session),
		}},
		SessionClients: []storage.SessionClient{{SID: f.sid, ClientID: "bench", Subject: subject, ExpiresAt: f.began.Add(2 * f.lives.session)}},
		Grants: []storage.Grant{{
			ID: f.grant, ClientID: "bench", Subject: subject, SessionID: f.sid, Scopes: []string{"openid", "profile", "offline_access"},
			RedirectURI: "http://127.0.0.1:8080/callback", Nonce: "n-0S6_WzA2Mj-n-0S6_WzA2Mj", ACR: "urn:oidclab:password", AMR: []string{"pwd"},
			AuthTime: f.began, RequestedAt: f.began, CreatedAt: f.began, ExpiresAt: f.began.Add(f.lives.grant),
		}},
		Codes: []storage.Code{{
			ID: f.code, GrantID: f.grant, CodeChallengeMethod: "S256",
			CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", ExpiresAt: f.began.Add(time.Minute),
		}},
	}
}

// redeem is the request that gives tokens for the code.
func (f *flow) redeem(now time.Time) storage.Changes {
	c := f.tokens(now)
	c.RedeemCode = f.code
	return c
}

// refreshed is the request that gives the next ones for the refresh token.
func (f *flow) refreshed(now time.Time) storage.Changes {
	before := f.refresh
	c := f.tokens(now)
	c.RotateRefreshToken = before
	return c
}

// tokens issues the next access token and refresh token.
func (f *flow) tokens(now time.Time) storage.Changes {
	f.turn++
	f.access, f.refresh = flowID(f.n, fmt.Sprint("access", f.turn), now), flowID(f.n, fmt.Sprint("refresh", f.turn), now)
	return storage.Changes{
		At: now,
		AccessTokens: []storage.AccessToken{{
			ID: f.access, GrantID: f.grant, JTI: f.grant, Scopes: []string{"openid", "profile", "offline_access"},
			IssuedAt: now, ExpiresAt: now.Add(f.lives.access),
		}},
		RefreshTokens: []storage.RefreshToken{{ID: f.refresh, GrantID: f.grant, IssuedAt: now, ExpiresAt: now.Add(f.lives.grant)}},
	}
}

// flowID is an identifier as the provider makes them: it begins with the time.
func flowID(n int, what string, now time.Time) storage.Digest {
	id := storage.DigestOf(fmt.Sprint(what, n))
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(now.UnixMilli()))
	copy(id[:], millis[2:])
	return id
}

// flowName is one in hexadecimal.
func flowName(n int, what string, now time.Time) string {
	id := flowID(n, what, now)
	return hex.EncodeToString(id[:16])
}
