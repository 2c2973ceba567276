package provider

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
)

func TestOpaqueTokens(t *testing.T) {
	ours, others := newOpaqueTokens([]byte(strings.Repeat("a", 32))), newOpaqueTokens([]byte(strings.Repeat("b", 32)))
	token, handle := ours.generate(time.UnixMilli(1_800_000_000_000))
	if !ours.authentic(token) || others.authentic(token) {
		t.Errorf("authentic: %t, with another key: %t", ours.authentic(token), others.authentic(token))
	}
	if got := opaqueHandle(token); got != handle {
		t.Errorf("handle: %q, want %q", got, handle)
	}
	for name, other := range map[string]string{
		"another first part": "B" + token[1:], "nothing before the dot": token[strings.Index(token, "."):], "no HMAC": token[:opaqueLength],
		"an empty HMAC": token[:opaqueLength+1], "nothing": "", "a dot": ".", "a third part": token + ".x", "no base64": "~" + token[1:],
	} {
		if other != token && ours.authentic(other) {
			t.Errorf("%s: taken for ours", name)
		}
	}
	if again, _ := ours.generate(time.UnixMilli(1_800_000_000_000)); again == token {
		t.Error("the same token twice")
	}
}

// TestRecordsAreOrdered: what is made later is stored behind what was made before; what
// is made at once is told apart.
func TestRecordsAreOrdered(t *testing.T) {
	tokens := newOpaqueTokens([]byte(strings.Repeat("a", 32)))
	kinds := map[string]func(now time.Time) storage.Digest{
		"token": func(now time.Time) storage.Digest {
			_, handle := tokens.generate(now)
			return recordID(handle)
		},
		"JWT":    func(now time.Time) storage.Digest { return recordID(jwtHandle(orderedID(now), "signature")) },
		"cookie": func(now time.Time) storage.Digest { return secretID(orderedSecret(now)) },
	}
	start := time.UnixMilli(1_800_000_000_000)
	for name, id := range kinds {
		last := id(start)
		for i := range 1000 {
			next := id(start.Add(time.Duration(i+1) * time.Millisecond))
			if bytes.Compare(last[:], next[:]) >= 0 {
				t.Fatalf("%s %d is not behind the one before", name, i)
			}
			last = next
		}
		if one, other := id(start), id(start); one == other {
			t.Errorf("%s: two of one moment are stored as one", name)
		}
	}
}

// TestOlderHandles: what earlier versions issued is found where they stored it.
func TestOlderHandles(t *testing.T) {
	const value, mac = "q1NwFzJ3Yq6bJcRzTr8mC0cW1Zz8mCq2fJ4m7w0e3Vk", "U29tZSBITUFDIG9mIDMyIGJ5dGVzLCBlbmNvZGVkLi4"
	if got, want := recordID(opaqueHandle(value+"."+mac)), storage.DigestOf(mac); got != want {
		t.Error("a token without a time is not found by its HMAC")
	}
	if got, want := recordID(jwtHandle("w4Vt0JkZ8m2x1Qc7bYpN5g", "signature")), storage.DigestOf("signature"); got != want {
		t.Error("a JWT whose jti has no time is not found by its signature")
	}
	if got, want := secretID(value), storage.DigestOf(value); got != want {
		t.Error("a cookie without a time is not found by its digest")
	}
}
