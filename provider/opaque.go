package provider

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// Codes, refresh tokens, opaque access tokens and session cookies are random values
// that begin with the time. What is made at one time is thus stored in one place,
// not all over the file: a commit of many requests changes few pages. Who holds
// such a value learns when it was made, which is no secret from them.
//
// A value is 48 characters: 6 bytes of time, 30 random ones. A code or token has a
// dot and an HMAC of it behind, so that the store is not asked for what was never
// issued. Those without a time, 43 characters, were made by earlier versions.
const (
	timeSize     = 6  // bytes: milliseconds since 1970
	opaqueSize   = 36 // bytes
	opaqueLength = 48 // characters
	timeLength   = 8  // characters
)

// handleMark stands in a handle between the time and the rest. No part of a token has it.
const handleMark = "~"

// opaqueTokens makes and recognises them.
type opaqueTokens struct{ macs macs }

func newOpaqueTokens(key []byte) opaqueTokens {
	return opaqueTokens{newMACs(sha512.New512_256, key)}
}

// orderedBytes fills b with random bytes after the time.
func orderedBytes(b []byte, now time.Time) {
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(now.UnixMilli()))
	copy(b, millis[8-timeSize:])
	_, _ = rand.Read(b[timeSize:]) // crypto/rand never fails
}

// orderedID returns an identifier in hexadecimal that sorts after those of before, to
// the millisecond. 80 of its 128 bits are random.
func orderedID(now time.Time) string {
	var b [16]byte
	orderedBytes(b[:], now)
	return hex.EncodeToString(b[:])
}

// orderedSecret is a random value alone, such as that of a cookie.
func orderedSecret(now time.Time) string {
	var b [opaqueSize]byte
	orderedBytes(b[:], now)
	return encode(b[:])
}

// generate returns a new token and its handle.
func (o opaqueTokens) generate(now time.Time) (token, handle string) {
	var b [opaqueSize]byte
	orderedBytes(b[:], now)
	token = encode(b[:]) + "." + encode(o.macs.sum(b[:]))
	return token, opaqueHandle(token)
}

// authentic reports whether a token was made here.
func (o opaqueTokens) authentic(token string) bool {
	value, mac, _ := strings.Cut(token, ".")
	decodedValue, valueErr := b64.DecodeString(value)
	decodedMAC, macErr := b64.DecodeString(mac)
	return valueErr == nil && macErr == nil && len(decodedValue) > 0 && hmac.Equal(decodedMAC, o.macs.sum(decodedValue))
}

// opaqueHandle is by what an opaque token is looked up, "" for what is none: the
// HMAC, after the time.
func opaqueHandle(token string) string {
	value, mac, ok := strings.Cut(token, ".")
	if !ok || strings.Contains(mac, ".") {
		return ""
	}
	if len(value) != opaqueLength {
		return mac
	}
	return value[:timeLength] + handleMark + mac
}

// jwtHandle is by what a JWT access token is looked up: its "jti", after the time in
// it. Earlier versions, whose "jti" has none, had the signature.
func jwtHandle(jti, signature string) string {
	millis, err := hex.DecodeString(jti)
	if err != nil || len(jti) != 32 {
		return signature
	}
	return encode(millis[:timeSize]) + handleMark + jti
}

// secretID is by what a value without an HMAC is stored.
func secretID(value string) storage.Digest {
	if len(value) != opaqueLength {
		return storage.DigestOf(value)
	}
	return recordID(value[:timeLength] + handleMark + value[timeLength:])
}

// recordID is under what the record of a handle is stored: the digest, of which
// the time takes the place of the first six bytes. The other 26 are still more than
// anybody can find a second value for.
func recordID(handle string) storage.Digest {
	id := storage.DigestOf(handle)
	at, _, ordered := strings.Cut(handle, handleMark)
	if !ordered || len(at) != timeLength {
		return id
	}
	var millis [timeSize]byte
	if n, err := b64.Decode(millis[:], []byte(at)); err == nil && n == timeSize {
		copy(id[:], millis[:])
	}
	return id
}
