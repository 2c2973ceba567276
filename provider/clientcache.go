package provider

import (
	"bytes"
	"sync"

	"github.com/oidclab/oidclab/storage"
)

// Bounds of a clientCache. They hold what it takes, whatever strangers register,
// to a few megabytes.
const (
	maxCachedClients = 512
	maxCachedRecord  = 4 << 10 // bytes of metadata; real clients have one or two thousand
)

// clientCache has clients that registered themselves, as they were last read. The
// store is asked for the record each time, and has the last word: what is saved
// is to decode the registration once more for each request. The zero value is
// empty and ready.
type clientCache struct {
	mu      sync.RWMutex
	clients map[string]cachedClient
}

type cachedClient struct {
	record storage.Client // what client was made of
	client *client
}

// get returns the client of a record, if it was made of this very record.
func (k *clientCache) get(record *storage.Client) (*client, bool) {
	k.mu.RLock()
	cached, ok := k.clients[record.ID]
	k.mu.RUnlock()
	if !ok || !sameRegistration(&cached.record, record) {
		return nil, false
	}
	return cached.client, true
}

// put keeps a client that was made of a record, which nobody may change any more.
// If there are too many, another one is forgotten, whichever.
func (k *clientCache) put(record storage.Client, c *client) {
	if len(record.Metadata) > maxCachedRecord {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clients == nil {
		k.clients = map[string]cachedClient{}
	}
	if _, ok := k.clients[record.ID]; !ok && len(k.clients) >= maxCachedClients {
		for id := range k.clients {
			delete(k.clients, id)
			break
		}
	}
	k.clients[record.ID] = cachedClient{record, c}
}

// sameRegistration reports whether two records make the same client. The version
// alone would say it, if every writer kept to it.
func sameRegistration(a, b *storage.Client) bool {
	return a.Version == b.Version && a.SecretHash == b.SecretHash && a.SecretExpiresAt.Equal(b.SecretExpiresAt) && bytes.Equal(a.Metadata, b.Metadata)
}
