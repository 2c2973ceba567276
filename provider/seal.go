package provider

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
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
	Form url.Values `json:"-"`
	// Query is Form as it travels: one string is shorter than an object of lists,
	// and quicker to read.
	Query string `json:"query,omitempty"`
	// Object says whether Form comes out of a request object: objectSigned,
	// objectUnsigned, "" for no object.
	Object string `json:"object,omitempty"`
	// Pushed is the digest of the request_uri under which the client pushed the
	// request, zero if it did not.
	Pushed storage.Digest `json:"pushed,omitzero"`
	// RequestedAt is when the request first arrived: a login after it
	// satisfies prompt=login and max_age (OIDC Core §3.1.2.1).
	RequestedAt time.Time `json:"requested_at"`
	// Again says that the request was started over once, because the session
	// ended under it.
	Again bool `json:"again,omitempty"`
	// UserCode stands for the request of a device (RFC 8628), which has no Form.
	UserCode string `json:"user_code,omitempty"`
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
func (s *sealer) seal(req pendingRequest) (string, error) {
	req.Query = req.Form.Encode()
	plain, err := json.Marshal(req)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, nil)), nil //nolint:gosec // the AEAD makes its own random nonce and wants none
}

// open returns the request, or errSealBroken. The caller checks its age.
func (s *sealer) open(sealed string) (pendingRequest, error) {
	var req pendingRequest
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return req, errSealBroken
	}
	plain, err := s.aead.Open(nil, nil, raw, nil)
	if err != nil {
		return req, errSealBroken
	}
	if err := json.Unmarshal(plain, &req); err != nil {
		return req, errSealBroken
	}
	if req.Form, err = url.ParseQuery(req.Query); err != nil {
		return req, errSealBroken
	}
	req.Query = ""
	return req, nil
}
