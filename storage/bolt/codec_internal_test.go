package bolt

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidclab/oidclab/storage"
	"github.com/oidclab/oidclab/storage/internal/ordered"
)

// fill gives every field of a record a value of its own, so that one which the codec
// forgets, or swaps with another, shows.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch value := v.Addr().Interface().(type) {
	case *string:
		*value = "value " + string(rune('a'+*n))
	case *bool:
		*value = true
	case *time.Time:
		*value = time.Unix(1_900_000_000+int64(*n), int64(*n)).UTC()
	case *storage.Digest:
		*value = storage.DigestOf(string(rune('a' + *n)))
	case *[]byte:
		*value = []byte{byte(*n)}
	case *[]string:
		*value = []string{"", "value " + string(rune('a'+*n))}
	default:
		if v.Kind() != reflect.Struct {
			t.Fatalf("a field of type %s", v.Type())
		}
		for _, field := range v.Fields() {
			fill(t, field, n)
		}
	}
}

// encode is a record as it is stored, without the instant of issued ones.
func encode(k kind, record any) ([]byte, error) {
	value, err := appendRecord(nil, k, record)
	return (&tx{}).bare(k, value), err
}

// packs tests one kind of record.
func packs[T any](t *testing.T, k kind) {
	t.Helper()
	var full, empty T
	n := 0
	fill(t, reflect.ValueOf(&full).Elem(), &n)
	for _, record := range []T{full, empty} {
		value, err := encode(k, &record)
		if err != nil || value[0] != packed {
			t.Fatalf("%s: encoded as %q, %v; want a packed record", k, value, err)
		}
		got, err := decode[T](k, value)
		if diff := cmp.Diff(record, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", k, err, diff)
		}
		for size := range len(value) {
			if _, err := decode[T](k, value[:size]); err == nil {
				t.Errorf("%s: decoded from %d of %d bytes", k, size, len(value))
			}
		}
		if _, err := decode[T](k, append(value, 0)); err == nil {
			t.Errorf("%s: decoded with a byte too many", k)
		}
	}
	// What an earlier version wrote.
	old, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode[T](k, old); err != nil || !cmp.Equal(full, got) {
		t.Errorf("%s: from JSON: %v, %v", k, got, err)
	}
}

func TestCodec(t *testing.T) {
	packs[storage.Grant](t, grants)
	packs[storage.Code](t, codes)
	packs[storage.AccessToken](t, accessTokens)
	packs[storage.RefreshToken](t, refreshTokens)
	packs[storage.Session](t, sessions)
	packs[storage.SessionClient](t, sessionClients)
	packs[storage.Once](t, onces)
}

// TestCodecKeepsNil: a list that is not there is not an empty one.
func TestCodecKeepsNil(t *testing.T) {
	want := storage.Grant{Scopes: []string{}, Claims: []byte{}}
	value, err := encode(grants, &want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode[storage.Grant](grants, value)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestCodecRefusesTimes that JSON has not: whoever reads the file in it (Dump) must be
// able to write them.
func TestCodecRefusesTimes(t *testing.T) {
	once := storage.Once{ID: storage.DigestOf("x"), ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)}
	value, err := encode(onces, &once)
	if err != nil {
		t.Fatal(err)
	}
	end := len(value) - ordered.InstantSize
	for name, instant := range map[string][]byte{
		"the year 10000":         ordered.AppendInstant(nil, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
		"the year -1":            ordered.AppendInstant(nil, time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)),
		"a second of too many":   append(ordered.AppendInstant(nil, once.ExpiresAt)[:8], 0x3b, 0x9a, 0xca, 0),
		"the end of all seconds": append(bytes.Repeat([]byte{0xff}, 8), 0, 0, 0, 0),
	} {
		if got, err := decode[storage.Once](onces, append(value[:end:end], instant...)); err == nil {
			t.Errorf("%s: decoded as %s", name, got.ExpiresAt)
		}
	}
	once.ExpiresAt = once.ExpiresAt.Add(1)
	if _, err := encode(onces, &once); err == nil {
		t.Error("the year 10000 was encoded")
	}
}

// FuzzDecode: whatever is in a damaged file, it is an error and no panic.
func FuzzDecode(f *testing.F) {
	full, err := encode(grants, &storage.Grant{ID: "grant", Scopes: []string{"openid"}, Claims: []byte("{}")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Fuzz(func(_ *testing.T, value []byte) {
		_, _ = decode[storage.Grant](grants, value)
		_, _ = decode[storage.AccessToken](accessTokens, value)
		_, _ = decode[storage.Session](sessions, value)
	})
}
