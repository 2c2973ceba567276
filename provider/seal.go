package provider

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"net/url"
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
	return b64.EncodeToString(s.aead.Seal(nil, nil, req.lines(), nil)) //nolint:gosec // the AEAD makes its own random nonce and wants none
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
	return readLines(plain)
}

// A request travels as one line for each of its fields, the parameters last, as a query:
// that is shorter than JSON, and quicker to read. No field has a line break in it.

func (req *pendingRequest) lines() []byte {
	var pushed, again string
	if !req.Pushed.IsZero() {
		pushed = b64.EncodeToString(req.Pushed[:])
	}
	if req.Again {
		again = "again"
	}
	return []byte(strings.Join([]string{
		strconv.FormatInt(req.RequestedAt.UnixNano(), 10), req.Object, pushed, again, req.UserCode, req.Form.Encode(),
	}, "\n"))
}

func readLines(plain []byte) (req pendingRequest, err error) {
	fields := strings.Split(string(plain), "\n")
	if len(fields) != 6 {
		return req, errSealBroken // an earlier version's
	}
	nanoseconds, atErr := strconv.ParseInt(fields[0], 10, 64)
	if fields[2] != "" {
		err = req.Pushed.UnmarshalText([]byte(fields[2]))
	}
	form, formErr := url.ParseQuery(fields[5])
	if atErr != nil || err != nil || formErr != nil {
		return pendingRequest{}, errSealBroken
	}
	req.Form, req.Object, req.Again, req.UserCode = form, fields[1], fields[3] != "", fields[4]
	req.RequestedAt = time.Unix(0, nanoseconds).UTC()
	return req, nil
}
