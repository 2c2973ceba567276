package provider

import (
	"context"
	"strconv"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// spendOnce notes an identifier that may come once, such as the "jti" of a
// client assertion; storage.ErrSeen says that it came before. It is a commit of
// its own, before the rest of the request is looked at, so that nothing that
// fails later makes the identifier good again. kind keeps identifiers of
// different meaning and origin apart.
func (p *Provider) spendOnce(ctx context.Context, kind, id string, expires time.Time) error {
	now := time.Now().UTC()
	once := storage.Once{ID: onceID(kind, id), ExpiresAt: expires.UTC()}
	return p.store.Commit(context.WithoutCancel(ctx), storage.Changes{At: now, Once: []storage.Once{once}})
}

// onceID is the key of an identifier. The length keeps kind and id apart.
func onceID(kind, id string) storage.Digest {
	return storage.DigestOf(strconv.Itoa(len(kind)) + ":" + kind + id)
}
