// Package ordered makes keys of names and times, as bytes that sort as they do.
package ordered

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// InstantSize is the length of an instant.
const InstantSize = 8 + 4

// AppendInstant appends a time so that bytes compare as times do, for every
// time that Go can express and to the nanosecond: UnixNano would end in 2262.
func AppendInstant(b []byte, t time.Time) []byte {
	// Flipping the sign bit puts negative seconds before positive ones.
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())^(math.MaxInt64+1)) //nolint:gosec // the bits are meant
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))          //nolint:gosec // below 1e9
}

// Time is the time of an instant, in UTC.
func Time(instant []byte) (time.Time, error) {
	if len(instant) != InstantSize {
		return time.Time{}, fmt.Errorf("instant of %d bytes", len(instant))
	}
	seconds := int64(binary.BigEndian.Uint64(instant) ^ (math.MaxInt64 + 1)) //nolint:gosec // the bits are meant
	nanoseconds := binary.BigEndian.Uint32(instant[8:])
	if nanoseconds >= 1e9 {
		return time.Time{}, fmt.Errorf("instant of %d nanoseconds", nanoseconds)
	}
	return time.Unix(seconds, int64(nanoseconds)).UTC(), nil
}

// Digest is the key of a digest; zero is none.
func Digest(id storage.Digest) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// Pair puts the length first, so that no two pairs share a key, and those with one
// first name, Pair(first, ""), begin alike. A name has less than 64 KiB.
func Pair(first, second string) []byte {
	key := binary.BigEndian.AppendUint16(nil, uint16(len(first))) //nolint:gosec // see above
	return append(append(key, first...), second...)
}

// Consent is the key of a consent.
func Consent(id storage.ConsentID) []byte { return Pair(id.Subject, id.ClientID) }

// SessionClient is the key of a session's client; without one of the names there is
// none.
func SessionClient(sid, clientID string) []byte {
	if sid == "" || clientID == "" {
		return nil
	}
	return Pair(sid, clientID)
}
