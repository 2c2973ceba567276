package provider

import (
	"context"
	"slices"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// work is one request's unit of work. It reads at once, each record only once,
// and collects writes in two lists: those that apply only if the request
// succeeds, and those that must survive its failure, such as a revocation.
type work struct {
	store storage.Store
	now   time.Time
	// jkt is the thumbprint of the key to which the tokens are bound that come
	// of the request (RFC 9449 §5), "" for bearer tokens.
	jkt string
	// codeJKT is that of the key which must redeem the code that is issued, ""
	// for any or none (RFC 9449 §10).
	codeJKT string

	onSuccess storage.Changes
	always    lasting
	// committed is done after the request has succeeded, before its answer.
	committed []func()

	// audience is what of its grant's audience the access token of a redeemed
	// code is for; nil for all of it (RFC 8707 §2.2).
	audience []string

	// A request presents one code or refresh token, or asks for one, of a grant to one
	// client. Nil until it is read.
	presentedCode    *readOnce[storage.Code]
	presentedRefresh *readOnce[storage.RefreshToken]
	client           *client
}

// lasting are the changes that survive the failure of their request.
type lasting struct {
	revokeGrants    []string
	pollDeviceCodes []storage.Digest // only of requests that fail
}

// readOnce is a code or refresh token with its grant, as the store first gave it: fosite
// asks for it up to four times in one request, and a second answer that differed from
// the first would be a server error.
type readOnce[T any] struct {
	handle string
	record T
	grant  storage.Grant
	err    error
}

// get returns what was read of this handle, or reads it; r is nil until something was.
func (r *readOnce[T]) get(ctx context.Context, handle string, read func(context.Context, storage.Digest) (T, storage.Grant, error)) *readOnce[T] {
	if r != nil && r.handle == handle {
		return r
	}
	r = &readOnce[T]{handle: handle}
	r.record, r.grant, r.err = read(ctx, recordID(handle))
	return r
}

type workKey struct{}

// begin opens a unit of work and puts it into the context, where the engine's
// storage adapter finds it.
func (p *Provider) begin(ctx context.Context) (context.Context, *work) {
	now := time.Now().UTC()
	w := &work{
		store: p.store, now: now,
		onSuccess: storage.Changes{At: now},
	}
	return context.WithValue(ctx, workKey{}, w), w
}

// workFrom returns the unit of work of a context made by begin.
func workFrom(ctx context.Context) *work {
	return ctx.Value(workKey{}).(*work) // every engine call is made under begin
}

// code reads a code once.
func (w *work) code(ctx context.Context, handle string) (storage.Code, storage.Grant, error) {
	w.presentedCode = w.presentedCode.get(ctx, handle, w.store.Code)
	return w.presentedCode.record, w.presentedCode.grant, w.presentedCode.err
}

// refreshToken reads a refresh token once.
func (w *work) refreshToken(ctx context.Context, handle string) (storage.RefreshToken, storage.Grant, error) {
	w.presentedRefresh = w.presentedRefresh.get(ctx, handle, w.store.RefreshToken)
	return w.presentedRefresh.record, w.presentedRefresh.grant, w.presentedRefresh.err
}

// revoke ends a grant, whatever becomes of the request.
func (w *work) revoke(grantID string) {
	if !slices.Contains(w.always.revokeGrants, grantID) {
		w.always.revokeGrants = append(w.always.revokeGrants, grantID)
	}
}

// commit writes everything. It returns after the write is durable, so that
// nothing is answered that a crash could take back.
func (w *work) commit(ctx context.Context) error {
	changes := w.onSuccess
	changes.RevokeGrants = slices.Concat(changes.RevokeGrants, w.always.revokeGrants)
	if err := w.write(ctx, changes); err != nil {
		return err
	}
	for _, f := range w.committed {
		f()
	}
	return nil
}

// begins reports whether a session begins with this request.
func (w *work) begins(session storage.Digest) bool {
	return slices.ContainsFunc(w.onSuccess.Sessions, func(s storage.Session) bool { return s.ID == session })
}

// abort writes only what must survive the failure of the request.
func (w *work) abort(ctx context.Context) error {
	return w.write(ctx, storage.Changes{At: w.now, RevokeGrants: w.always.revokeGrants, PollDeviceCodes: w.always.pollDeviceCodes})
}

func (w *work) write(ctx context.Context, changes storage.Changes) error {
	if changes.Empty() {
		return nil
	}
	// A client that hangs up does not undo what was decided.
	return w.store.Commit(context.WithoutCancel(ctx), changes)
}
