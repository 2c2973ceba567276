package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// user is a User who can sign in.
type user struct {
	User
	subject string
	// hash is made at the first login if the configuration gives the plain
	// password, so that many users do not slow the start.
	hash func() passwordHash
}

// directory holds the users. It does not change after it is made.
type directory struct {
	byName map[string]*user
	bySub  map[string]*user
	// claims are the names of what can be said of a user: the standard claims,
	// and whatever else some user has.
	claims map[string]bool
	gate   passwordGate
	// throttle is nil where everybody may guess passwords as often as they like.
	throttle *loginThrottle
	// nobody is hashed against when the name is unknown, so that the answer
	// takes as long as for a known one.
	nobody passwordHash
}

func newDirectory(users []User, gate passwordGate, throttle *loginThrottle) (*directory, error) {
	d := &directory{byName: map[string]*user{}, bySub: map[string]*user{}, claims: map[string]bool{}, gate: gate, throttle: throttle}
	for _, names := range scopeClaims {
		for _, name := range names {
			d.claims[name] = true
		}
	}
	for _, u := range users {
		entry := &user{User: u, subject: u.Claims["sub"].(string)} // validated
		if u.PasswordHash != "" {
			hash, err := parsePasswordHash(u.PasswordHash)
			if err != nil {
				return nil, fmt.Errorf("user %q: password_hash: %w", u.Username, err)
			}
			entry.hash = func() passwordHash { return hash }
		} else {
			entry.hash = hashLater(u.Password)
			entry.Password = ""
		}
		d.byName[u.Username], d.bySub[entry.subject] = entry, entry
		for name := range u.Claims {
			if !slices.Contains(tokenClaims, name) {
				d.claims[name] = true
			}
		}
	}
	d.nobody = passwordHash{
		time: argonTime, memory: argonMemory, threads: argonThreads,
		salt: []byte(randomString(argonSalt)), key: make([]byte, argonKey),
	}
	return d, nil
}

func hashLater(password string) func() passwordHash {
	return sync.OnceValue(func() passwordHash {
		hash, err := parsePasswordHash(HashPassword(password))
		if err != nil {
			panic(err) // HashPassword and its parser disagree
		}
		return hash
	})
}

var errWrongPassword = errors.New("the username or the password is wrong")

// authenticate returns the user. The error is errWrongPassword, or says why the
// password was not looked at: *tooManyGuesses, errPasswordGateFull, or the context's.
func (d *directory) authenticate(ctx context.Context, a *loginAttempt) (*user, error) {
	u := d.byName[a.username]
	// 1. Who may not try is told so at once.
	wait := d.throttle.wait(a)
	if wait > 0 {
		return nil, &tooManyGuesses{wait}
	}
	var ok bool
	err := d.gate.do(ctx, func() {
		// 2. Others may have been wrong while this one waited for the turn.
		if wait = d.throttle.wait(a); wait > 0 {
			return
		}
		// 3. The password. An unknown name takes as long as a known one.
		if u == nil {
			d.nobody.matches(a.password)
		} else {
			ok = u.hash().matches(a.password)
		}
		if !ok {
			d.throttle.wrong(a)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case wait > 0:
		return nil, &tooManyGuesses{wait}
	case !ok:
		return nil, errWrongPassword
	}
	return u, nil
}

func (d *directory) bySubject(sub string) *user { return d.bySub[sub] }

// hasClaim reports whether a name is that of a user's claim.
func (d *directory) hasClaim(name string) bool { return d.claims[name] }

// scopeClaims are the claims that each scope asks for, OIDC Core §5.4, and the
// "groups" that many providers add.
var scopeClaims = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
	"groups":  {"groups"},
}

// scopeOf returns the scope that stands for a claim, "" for a claim that can only
// be asked for by name.
func scopeOf(claim string) string {
	for scope, names := range scopeClaims {
		if slices.Contains(names, claim) {
			return scope
		}
	}
	return ""
}

// claimsFor returns "sub" and the claims that scopes ask for.
func (u *user) claimsFor(scopes []string) map[string]any {
	claims := map[string]any{"sub": u.subject}
	for scope, names := range scopeClaims {
		if slices.Contains(scopes, scope) {
			u.addClaims(claims, names)
		}
	}
	return claims
}

// addClaims adds claims by name. What the user has no value for is left out
// (OIDC Core §5.3.2).
func (u *user) addClaims(claims map[string]any, names []string) {
	for _, name := range names {
		if name == "groups" && len(u.Groups) > 0 {
			claims[name] = u.Groups
		} else if value, ok := u.Claims[name]; ok && value != nil && value != "" {
			claims[name] = value
		}
	}
}

// displayName is how pages greet the user.
func (u *user) displayName() string {
	if name, ok := u.Claims["name"].(string); ok && name != "" {
		return name
	}
	return u.Username
}
