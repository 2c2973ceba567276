package ordered_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

func TestInstants(t *testing.T) {
	moments := []time.Time{
		{},
		time.Unix(-1, 999_999_999), time.Unix(0, 0), time.Unix(0, 1), time.Unix(1, 0),
		time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
	var last []byte
	for i, moment := range moments {
		instant := ordered.AppendInstant(nil, moment)
		if i > 0 && bytes.Compare(last, instant) >= 0 {
			t.Errorf("%s does not sort behind %s", moment, moments[i-1])
		}
		if got, err := ordered.Time(instant); err != nil || !got.Equal(moment) || got.Location() != time.UTC {
			t.Errorf("%s comes back as %s, %v", moment, got, err)
		}
		last = instant
	}
	for name, instant := range map[string][]byte{"short": last[1:], "long": append(last, 0), "a billion nanoseconds": append(last[:8:8], 0x3b, 0x9a, 0xca, 0)} {
		if got, err := ordered.Time(instant); err == nil {
			t.Errorf("%s: read as %s", name, got)
		}
	}
}

func TestKeys(t *testing.T) {
	if bytes.Equal(ordered.Pair("a", "bc"), ordered.Pair("ab", "c")) {
		t.Error("two pairs share a key")
	}
	if !bytes.HasPrefix(ordered.Pair("a", "bc"), ordered.Pair("a", "")) {
		t.Error("a pair does not begin as its first name's pairs do")
	}
	if ordered.Digest(storage.Digest{}) != nil || len(ordered.Digest(storage.DigestOf("x"))) != len(storage.Digest{}) {
		t.Error("the key of a digest")
	}
	if ordered.SessionClient("", "client") != nil || ordered.SessionClient("sid", "") != nil {
		t.Error("half a pair has a key")
	}
}
