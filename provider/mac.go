package provider

import (
	"crypto/hmac"
	"hash"
	"sync"
)

// macs makes HMACs with one key. To begin one costs more than to use it again, hence
// the pool.
type macs struct{ pool *sync.Pool }

func newMACs(of func() hash.Hash, key []byte) macs {
	return macs{&sync.Pool{New: func() any { return hmac.New(of, key) }}}
}

func (m macs) sum(value []byte) []byte {
	mac := m.pool.Get().(hash.Hash) // made above
	defer m.pool.Put(mac)
	mac.Reset()
	mac.Write(value)
	return mac.Sum(nil)
}

// text is the HMAC of a text in base64url.
func (m macs) text(value string) string { return encode(m.sum([]byte(value))) }
