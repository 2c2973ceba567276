package provider

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argon2id's cost: OWASP's second recommendation, 19 MiB and two passes.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonSalt    = 16 // bytes
	argonKey     = 32 // bytes
)

// Bounds on what a configured hash may ask for.
const (
	argonMaxTime   = 64
	argonMaxMemory = 1 << 20 // KiB
)

var errPasswordHash = errors.New(`not an argon2id hash of the form "$argon2id$v=19$m=…,t=…,p=…$salt$key"`)

// passwordHash is a parsed argon2id hash in PHC form.
type passwordHash struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

// HashPassword returns the argon2id hash of password in PHC form, for a
// configuration's password_hash.
func HashPassword(password string) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // crypto/rand never fails
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// parsePasswordHash reads the PHC form. An empty salt or key is refused: it
// would match too much.
func parsePasswordHash(phc string) (passwordHash, error) {
	var h passwordHash
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errPasswordHash
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errPasswordHash
	}
	const costs = "m=%d,t=%d,p=%d"
	_, err := fmt.Sscanf(parts[3], costs, &h.memory, &h.time, &h.threads)
	if err != nil || parts[3] != fmt.Sprintf(costs, h.memory, h.time, h.threads) { // Sscanf allows more to follow
		return h, errPasswordHash
	}
	var saltErr, keyErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, keyErr = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case saltErr != nil, keyErr != nil, len(h.salt) < 8, len(h.key) < 16,
		h.time == 0, h.time > argonMaxTime, h.threads == 0, h.memory < 8, h.memory > argonMaxMemory:
		return h, errPasswordHash
	}
	return h, nil
}

// matches compares in constant time.
func (h passwordHash) matches(password string) bool {
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.key))) //nolint:gosec // a key is a few bytes long
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// waitingPasswords is how many wait behind each password that is hashed: as many as
// are hashed in three seconds or so, which is as long as a person waits.
const waitingPasswords = 128

var errPasswordGateFull = errors.New("too many passwords wait to be hashed")

// passwordGate bounds how many passwords are hashed at once, so that a burst of
// logins takes neither all the memory nor all the processors; and how many wait
// for that, so that nobody waits for long.
type passwordGate struct {
	turns  chan struct{} // holds one for each that is hashed
	places chan struct{} // and for each that is hashed or waits
}

// newPasswordGate makes a gate for so many requests at once. Passwords are hashed on
// half of the processors, and have half of the requests wait: the others are for
// requests without a password.
func newPasswordGate(requests int) passwordGate {
	turns := max(1, runtime.GOMAXPROCS(0)/2)
	return passwordGateOf(turns, min(turns*waitingPasswords, requests/2))
}

func passwordGateOf(turns, waiting int) passwordGate {
	return passwordGate{make(chan struct{}, turns), make(chan struct{}, turns+waiting)}
}

// do runs f when its turn comes. It returns errPasswordGateFull if too many wait,
// and the context's error if that ends first, such as when the client hangs up.
func (g passwordGate) do(ctx context.Context, f func()) error {
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	default:
		return errPasswordGateFull
	}
	select {
	case g.turns <- struct{}{}:
		defer func() { <-g.turns }()
		f()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
