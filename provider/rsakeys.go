package provider

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
)

// rsaKeys are RSA keys in the making. How long one takes is a matter of luck: some
// take five times as long as others.
type rsaKeys struct {
	mu     sync.Mutex
	coming int // those that nobody was given yet
	made   chan rsaKey
	making sync.WaitGroup
}

type rsaKey struct {
	key *rsa.PrivateKey
	err error
}

// beginRSAKeys begins to make so many keys.
func beginRSAKeys(number int) *rsaKeys {
	k := &rsaKeys{coming: number, made: make(chan rsaKey, number)}
	for range number {
		k.making.Go(func() {
			key, err := newRSAKey()
			k.made <- rsaKey{key, err}
		})
	}
	return k
}

// next waits for the key that is made next. Where none is in the making, it makes
// one.
func (k *rsaKeys) next() (*rsa.PrivateKey, error) {
	if !k.take() {
		return newRSAKey()
	}
	next := <-k.made
	return next.key, next.err
}

func (k *rsaKeys) take() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.coming == 0 {
		return false
	}
	k.coming--
	return true
}

// wait returns when no key is in the making any more.
func (k *rsaKeys) wait() { k.making.Wait() }

func newRSAKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }
