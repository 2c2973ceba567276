package provider

import (
	"encoding/base64"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sealerOf(t *testing.T, key string) *sealer {
	t.Helper()
	s, err := newSealer([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSealer: what comes out is what went in, and every bit counts.
func TestSealer(t *testing.T) {
	s := sealerOf(t, "0123456789abcdef0123456789abcdef")
	want := pendingRequest{
		Form:        url.Values{"state": {"a&b=\"é\n"}, "empty": {""}},
		RequestedAt: time.Date(2026, 1, 2, 3, 4, 5, 678912345, time.UTC),
	}
	sealed, err := s.seal(want)
	if err != nil {
		t.Fatal(err)
	}
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
