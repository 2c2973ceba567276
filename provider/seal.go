package provider

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// interactionLifetime is how long a person may take to sign in and consent.
const interactionLifetime = time.Hour

// sealedField is the name under which a sealed request travels.
const sealedField = "request"

// errSealBroken says that a sealed request was not made here, or was changed.
var errSealBroken = errors.New("the sealed request is damaged or was not made by this provider")

// pendingRequest is an authorization request that waits for a person. It
// travels, sealed, through the login and consent pages, so that nothing is
// stored for a visitor who never signs in.
type pendingRequest struct {
	Form url.Values
	// Object says whether Form comes out of a request object: objectSigned,
	// objectUnsigned, "" for no object.
	Object string
	// Pushed is the digest of the request_uri under which the client pushed the
	// request, zero if it did not.
	Pushed storage.Digest
	// RequestedAt is when the request first arrived: a login after it
	// satisfies prompt=login and max_age (OIDC Core §3.1.2.1).
	RequestedAt time.Time
	// Again says that the request was started over once, because the session
	// ended under it.
	Again bool
	// UserCode stands for the request of a device (RFC 8628), which has no Form.
	UserCode string
}

// sealer encrypts and authenticates pending requests.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

// seal returns the request as one URL-safe string.
func (s *sealer) seal(req pendingRequest) string {
	return b64.EncodeToString(s.aead.Seal(nil, nil, req.encode(), nil)) //nolint:gosec // the AEAD makes its own random nonce and wants none
}

// open returns the request, or errSealBroken. The caller checks its age.
func (s *sealer) open(sealed string) (pendingRequest, error) {
	raw, err := b64.DecodeString(sealed)
	if err != nil {
		return pendingRequest{}, errSealBroken
	}
	plain, err := s.aead.Open(nil, nil, raw, nil)
	if err != nil {
		return pendingRequest{}, errSealBroken
	}
	return decodePending(plain)
}

// A request travels as its fields, and after them its parameters, the name before the
// value: that is shorter than JSON or a query, and quicker to read. A NUL stands between
// any two; no parameter has one in it (limits.go).

const (
	sealedSeparator = "\x00"
	sealedFields    = 5   // before the parameters
	usualRequest    = 512 // bytes
)

func (req *pendingRequest) encode() []byte {
	var pushed, again string
	if !req.Pushed.IsZero() {
		pushed = encode(req.Pushed[:])
	}
	if req.Again {
		again = "again"
	}
	plain := strconv.AppendInt(make([]byte, 0, usualRequest), req.RequestedAt.UnixNano(), 10)
	add := func(text string) { plain = append(append(plain, sealedSeparator...), text...) }
	add(req.Object)
	add(pushed)
	add(again)
	add(req.UserCode)
	for name, values := range req.Form {
		for _, value := range values {
			add(name)
			add(value)
		}
	}
	return plain
}

func decodePending(plain []byte) (req pendingRequest, err error) {
	fields := strings.Split(string(plain), sealedSeparator)
	if len(fields) < sealedFields || (len(fields)-sealedFields)%2 != 0 {
		return req, errSealBroken // an earlier version's
	}
	nanoseconds, atErr := strconv.ParseInt(fields[0], 10, 64)
	if fields[2] != "" {
		err = req.Pushed.UnmarshalText([]byte(fields[2]))
	}
	if atErr != nil || err != nil {
		return pendingRequest{}, errSealBroken
	}
	req.RequestedAt = time.Unix(0, nanoseconds).UTC()
	req.Object, req.Again, req.UserCode = fields[1], fields[3] != "", fields[4]
	parameters := fields[sealedFields:]
	req.Form = make(url.Values, len(parameters)/2)
	for pair := range slices.Chunk(parameters, 2) {
		name, value := pair[0], pair[1:]
		if others := req.Form[name]; others != nil {
			value = append(others, value...)
		}
		req.Form[name] = value
	}
	return req, nil
}
