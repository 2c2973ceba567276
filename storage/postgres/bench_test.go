package postgres_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/postgres"
	"github.com/oidclab/oidclab/storage/postgres/postgrestest"
)

var start = time.Date(2031, time.February, 3, 4, 5, 6, 789012345, time.UTC)

// BenchmarkCommit compares the store, on a durable server, with a plain INSERT of
// one row of the same size through the same pool, alone and under 64 goroutines.
func BenchmarkCommit(b *testing.B) {
	server := postgrestest.New(b)
	n := 0
	open := func(b *testing.B) (*postgres.Store, string) {
		b.Helper()
		n++
		schema := fmt.Sprintf("bench%d", n)
		postgrestest.Exec(b, server.URL(), "CREATE SCHEMA "+schema)
		url := server.URL() + "&pool_max_conns=16&search_path=" + schema
		return reopen(b, url), url
	}
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("session/goroutines=%d", goroutines), func(b *testing.B) {
			s, _ := open(b)
			share(b, goroutines, func(n int) error {
				return s.Commit(b.Context(), storage.Changes{Sessions: []storage.Session{benchSession(n)}})
			})
		})
		b.Run(fmt.Sprintf("redeem/goroutines=%d", goroutines), func(b *testing.B) {
			s, _ := open(b)
			benchRedeem(b, s, goroutines)
		})
		b.Run(fmt.Sprintf("redeem-serializable/goroutines=%d", goroutines), func(b *testing.B) {
			s, _ := open(b)
			s.SetSerializable()
			benchRedeem(b, s, goroutines)
		})
		b.Run(fmt.Sprintf("plain-insert/goroutines=%d", goroutines), func(b *testing.B) {
			_, url := open(b)
			pool, err := pgxpool.New(b.Context(), url)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(pool.Close)
			value := make([]byte, 320)
			share(b, goroutines, func(n int) error {
				_, err := pool.Exec(b.Context(), "INSERT INTO keys (id, record) VALUES ($1, $2)", []byte(fmt.Sprint(n)), value)
				return err
			})
		})
	}
}

// BenchmarkRead is a lookup of a code with its grant, compared with SELECT 1.
func BenchmarkRead(b *testing.B) {
	url := postgrestest.URL(b)
	s := reopen(b, url)
	if err := s.Commit(b.Context(), exchange(0)); err != nil {
		b.Fatal(err)
	}
	id := exchange(0).Codes[0].ID
	b.Run("code", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := s.Code(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("select-1", func(b *testing.B) {
		pool, err := pgxpool.New(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(pool.Close)
		for b.Loop() {
			if _, err := pool.Exec(b.Context(), "SELECT 1"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benchRedeem redeems codes for an access token and a refresh token.
func benchRedeem(b *testing.B, s *postgres.Store, goroutines int) {
	b.Helper()
	var issued storage.Changes
	for n := range b.N {
		c := exchange(n)
		issued.Grants = append(issued.Grants, c.Grants...)
		issued.Codes = append(issued.Codes, c.Codes...)
		if len(issued.Codes) < 250 && n < b.N-1 {
			continue
		}
		if err := s.Commit(b.Context(), issued); err != nil {
			b.Fatal(err)
		}
		issued = storage.Changes{}
	}
	share(b, goroutines, func(n int) error {
		c := exchange(n)
		return s.Commit(b.Context(), storage.Changes{
			At: start, RedeemCode: c.Codes[0].ID, AccessTokens: c.AccessTokens, RefreshTokens: c.RefreshTokens,
		})
	})
}

func benchSession(n int) storage.Session {
	id := fmt.Sprint(n)
	return storage.Session{
		ID: storage.DigestOf(id), SID: id, Subject: "alice", ACR: "1", AMR: []string{"pwd"},
		AuthTime: start, ExpiresAt: start.Add(time.Hour),
	}
}

// exchange is a grant with a code, and what the code is redeemed for.
func exchange(n int) storage.Changes {
	grantID := fmt.Sprint("grant ", n)
	id := func(what string) storage.Digest { return storage.DigestOf(what + grantID) }
	return storage.Changes{
		At: start,
		Grants: []storage.Grant{{
			ID: grantID, ClientID: "client", Subject: "alice", SessionID: "sid", Scopes: []string{"openid", "offline_access"},
			RedirectURI: "https://client.example/callback", Nonce: "nonce", AuthTime: start, CreatedAt: start, ExpiresAt: start.Add(24 * time.Hour),
		}},
		Codes:         []storage.Code{{ID: id("code"), GrantID: grantID, CodeChallengeMethod: "S256", ExpiresAt: start.Add(time.Minute)}},
		AccessTokens:  []storage.AccessToken{{ID: id("access"), GrantID: grantID, Scopes: []string{"openid"}, ExpiresAt: start.Add(time.Hour)}},
		RefreshTokens: []storage.RefreshToken{{ID: id("refresh"), GrantID: grantID, ExpiresAt: start.Add(24 * time.Hour)}},
	}
}

// share divides b.N operations among goroutines.
func share(b *testing.B, goroutines int, f func(n int) error) {
	b.Helper()
	b.ResetTimer()
	var next atomic.Int64
	var done sync.WaitGroup
	for range goroutines {
		done.Go(func() {
			for n := int(next.Add(1)) - 1; n < b.N; n = int(next.Add(1)) - 1 {
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
