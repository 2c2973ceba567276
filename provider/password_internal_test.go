package provider

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestHashPassword(t *testing.T) {
	const password = "pässword with spaces"
	phc := HashPassword(password)
	if again := HashPassword(password); again == phc {
		t.Error("two hashes of a password are alike: where is the salt?")
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", phc)
	}
	h, err := parsePasswordHash(phc)
	if err != nil {
		t.Fatal(err)
	}
	if !h.matches(password) {
		t.Error("the password does not match its hash")
	}
	for _, wrong := range []string{"", "password with spaces", password + " ", strings.ToUpper(password), phc} {
		if h.matches(wrong) {
			t.Errorf("%q matches", wrong)
		}
	}
}

// TestParsePasswordHashRefuses: one thing is wrong with a good hash. What is
// empty would match too much; what is large would stop the provider.
func TestParsePasswordHashRefuses(t *testing.T) {
	const good = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5"
	if _, err := parsePasswordHash(good); err != nil {
		t.Fatalf("control: %v", err)
	}
	for _, tt := range []struct{ name, old, replacement string }{
		{"empty", good, ""},
		{"not a hash", good, "alice"},
		{"another algorithm", "argon2id", "argon2i"},
		{"bcrypt", good, "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"},
		{"another version", "v=19", "v=16"},
		{"no version", "v=19$", ""},
		{"something after the version", "v=19", "v=19x"},
		{"something before", "$argon2id", "x$argon2id"},
		{"one part more", "a2V5a2V5a2V5a2V5a2V5a2V5", "a2V5a2V5a2V5a2V5a2V5a2V5$x"},
		{"no costs", "m=8,t=1,p=1", ""},
		{"costs in another order", "m=8,t=1,p=1", "t=1,m=8,p=1"},
		{"something after the costs", "p=1", "p=1,x=1"},
		{"signs in the costs", "m=8", "m=+8"},
		{"no passes", "t=1", "t=0"},
		{"too many passes", "t=1", "t=65"},
		{"no threads", "p=1", "p=0"},
		{"too many threads", "p=1", "p=256"},
		{"too little memory", "m=8", "m=7"},
		{"too much memory", "m=8", "m=1048577"},
		{"memory that overflows", "m=8", "m=4294967304"},
		{"no salt", "c2FsdHNhbHQ", ""},
		{"short salt", "c2FsdHNhbHQ", "c2FsdA"},
		{"salt that is no base64", "c2FsdHNhbHQ", "!!!!!!!!!!!"},
		{"no key", "a2V5a2V5a2V5a2V5a2V5a2V5", ""},
		{"short key", "a2V5a2V5a2V5a2V5a2V5a2V5", "a2V5a2V5a2V5a2V5a2V5"},
		{"padded key", "a2V5a2V5a2V5a2V5a2V5a2V5", "a2V5a2V5a2V5a2V5a2V5a2U="},
	} {
		phc := strings.Replace(good, tt.old, tt.replacement, 1)
		if _, err := parsePasswordHash(phc); !errors.Is(err, errPasswordHash) {
			t.Errorf("%s: %q: %v", tt.name, phc, err)
		}
	}
}

// TestPasswordGate: only so many at once, only so many wait, and nobody longer than
// the request does.
func TestPasswordGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := passwordGateOf(2, 8)
		var mu sync.Mutex
		var running, most int
		enter := func(change int) {
			mu.Lock()
			defer mu.Unlock()
			running += change
			most = max(most, running)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := gate.do(t.Context(), func() {
					enter(1)
					time.Sleep(time.Second)
					enter(-1)
				}); err != nil {
					t.Error(err)
				}
			})
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait() // two are hashed
		if err := gate.do(impatient, func() { t.Error("it ran") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a full gate: %v", err)
		}
		wg.Wait()
		if most != 2 {
			t.Errorf("%d at once, want 2", most)
		}
	})
}

// TestPasswordGateIsBounded: who finds too many waiting is told so at once, and those
// who hang up leave their place to others.
func TestPasswordGateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := passwordGateOf(1, 3)
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = gate.do(t.Context(), func() { <-release }) })
		synctest.Wait()
		full := func() bool {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return errors.Is(gate.do(ctx, func() { t.Error("it ran") }), errPasswordGateFull)
		}
		waiting, hangUp := context.WithCancel(t.Context())
		for i := range 3 {
			if full() {
				t.Errorf("full with %d waiting", i)
			}
			wg.Go(func() {
				if err := gate.do(waiting, func() { t.Error("it ran") }); !errors.Is(err, context.Canceled) {
					t.Errorf("hung up: %v", err)
				}
			})
			synctest.Wait()
		}
		if !full() {
			t.Error("not full with three waiting")
		}
		hangUp()
		synctest.Wait()
		if full() {
			t.Error("full after all hung up")
		}
		close(release)
		wg.Wait()
		ran := false
		if err := gate.do(t.Context(), func() { ran = true }); err != nil || !ran {
			t.Errorf("an empty gate: %v", err)
		}
	})
}

// TestPasswordGateLeavesRoom: however many processors there are, passwords have at
// most half of the requests wait, and nobody longer than a person does.
func TestPasswordGateLeavesRoom(t *testing.T) {
	for _, requests := range []int{1, 2, 10, 1024, 1 << 20} {
		gate := newPasswordGate(requests)
		if waiting := cap(gate.places) - cap(gate.turns); waiting > requests/2 || waiting > cap(gate.turns)*waitingPasswords {
			t.Errorf("of %d requests, %d wait", requests, waiting)
		}
	}
}
