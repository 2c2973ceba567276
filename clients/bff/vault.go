package bff

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidclab/oidclab/clients/internal/records"
)

// errSealed says that a record is there, but was sealed with another secret.
var errSealed = errors.New("bff: this secret does not open the record")

// vault keeps records that open only with a secret which the browser holds: the
// key that seals a record is derived from a cookie's value, and the file keeps
// neither. So the file alone yields no token (RFC 10017 §6.1.3.2, RFC 9700 §2.6).
type vault[T any] struct {
	records *records.Records[box]
	purpose string
}

type box struct {
	Sealed []byte `json:"sealed"`
}

func newVault[T any](db *records.DB, purpose string) (*vault[T], error) {
	r, err := records.Bucket[box](db, purpose)
	return &vault[T]{records: r, purpose: purpose}, err
}

func (v *vault[T]) put(key, secret string, value T, expires time.Time) error {
	var b box
	if err := v.seal(&b, key, secret, value); err != nil {
		return err
	}
	return v.records.Put(key, b, expires)
}

func (v *vault[T]) get(key, secret string) (T, error) {
	b, err := v.records.Get(key)
	if err != nil {
		var none T
		return none, err
	}
	return v.open(b, key, secret)
}

// take spends the record, also when the secret is wrong.
func (v *vault[T]) take(key, secret string) (T, error) {
	b, err := v.records.Take(key)
	if err != nil {
		var none T
		return none, err
	}
	return v.open(b, key, secret)
}

func (v *vault[T]) update(key, secret string, f func(*T)) error {
	return v.records.Update(key, func(b *box) error {
		value, err := v.open(*b, key, secret)
		if err != nil {
			return err
		}
		f(&value)
		return v.seal(b, key, secret, value)
	})
}

func (v *vault[T]) seal(b *box, key, secret string, value T) error {
	plain, err := json.Marshal(value)
	if err != nil {
		return err
	}
	aead, err := v.aead(secret)
	if err != nil {
		return err
	}
	b.Sealed = aead.Seal(nil, nil, plain, []byte(key)) //nolint:gosec // G407: GCM with a random nonce takes none
	return nil
}

func (v *vault[T]) open(b box, key, secret string) (T, error) {
	var value T
	aead, err := v.aead(secret)
	if err != nil {
		return value, err
	}
	plain, err := aead.Open(nil, nil, b.Sealed, []byte(key))
	if err != nil {
		return value, errSealed
	}
	return value, json.Unmarshal(plain, &value)
}

// aead derives the sealing key (HKDF, RFC 5869); the secret is random with at
// least 128 bits, so it needs no slow hash. GCM makes its own nonces.
func (v *vault[T]) aead(secret string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "oidclab bff "+v.purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("bff: derive the sealing key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
