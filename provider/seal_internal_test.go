package provider

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/storage"
)

func sealerOf(t *testing.T, key string) *sealer {
	t.Helper()
	s, err := newSealer([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSealedAlone: a request that has a time and nothing else.
func TestSealedAlone(t *testing.T) {
	s := sealerOf(t, "0123456789abcdef0123456789abcdef")
	want := pendingRequest{Form: url.Values{}, RequestedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	got, err := s.open(s.seal(want))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("open: %v (-want +got):\n%s", err, diff)
	}
}

// TestUnreadable: what was sealed here, but by a version that wrote otherwise.
func TestUnreadable(t *testing.T) {
	good := (&pendingRequest{Form: url.Values{"a": {"b"}}, Pushed: storage.DigestOf("pushed"), RequestedAt: time.Unix(1, 0)}).encode()
	if _, err := decodePending(good); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, plain := range map[string]string{
		"JSON":           `{"query":"a=b","requested_at":"2026-01-02T03:04:05Z"}`,
		"lines":          "1000000000\n\n\n\n\na=b",
		"too few fields": "1000000000\x00\x00\x00",
		"a name alone":   string(good) + "\x00c",
		"no time":        "x" + string(good),
		"no digest":      strings.Replace(string(good), "\x00\x00", "\x00\x00!", 1),
	} {
		if _, err := decodePending([]byte(plain)); !errors.Is(err, errSealBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSealer: what comes out is what went in, and every bit counts.
func TestSealer(t *testing.T) {
	s := sealerOf(t, "0123456789abcdef0123456789abcdef")
	want := pendingRequest{
		Form:        url.Values{"state": {"a&b=\"é\n"}, "empty": {""}, "resource": {"https://b", "https://a"}},
		Object:      objectSigned,
		Pushed:      storage.DigestOf("pushed"),
		RequestedAt: time.Date(2026, 1, 2, 3, 4, 5, 678912345, time.UTC),
		Again:       true,
		UserCode:    "WDJBMJHT",
	}
	sealed := s.seal(want)
	got, err := s.open(sealed)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("open: %v (-want +got):\n%s", err, diff)
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if _, err := s.open(base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, errSealBroken) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := s.open(base64.RawURLEncoding.EncodeToString(raw[:i])); !errors.Is(err, errSealBroken) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
		raw[i] ^= 1
	}
	if _, err := sealerOf(t, "another key of thirty-two bytes!").open(sealed); !errors.Is(err, errSealBroken) {
		t.Errorf("another key: %v", err)
	}
}
