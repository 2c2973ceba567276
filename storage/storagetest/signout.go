package storagetest

import (
	"time"

	"github.com/oidclab/oidclab/storage"
)

var signOutRules = []rule{
	{"what is bound to the session is revoked, and nothing else", signOutBound},
	{"what is bound to the session may come with the sign-out", signOutInserted},
	{"the first revocation is the one that counts", signOutTwice},
	{"the session's clients stay until they expire", signOutClients},
	{"every session of the name ends, and no other", signOutSession},
	{"a session may come with the sign-out", signOutInsertedSession},
	{"no session is no session", signOutNone},
	{"sessions that look alike are kept apart", signOutLookAlikes},
	{"several sessions end in one", signOutSeveral},
	{"what was swept is the session's no more", signOutSwept},
}

// grantOf returns a grant of a session.
func grantOf(id, sid string, bound bool) storage.Grant {
	g := newGrant(id)
	g.SessionID, g.SessionBound = sid, bound
	return g
}

// signOut is a sign-out some time after start.
func signOut(sids ...string) storage.Changes {
	return storage.Changes{At: start.Add(6), SignOut: sids}
}

// revoked tests which grants were revoked by signOut, and that these live.
func (f *fixture) revoked(revoked []string, live ...string) {
	f.Helper()
	for _, id := range revoked {
		f.revokedAt(id, start.Add(6))
	}
	for _, id := range live {
		f.revokedAt(id, time.Time{})
	}
}

func signOutBound(f *fixture) {
	c := storage.Changes{Grants: []storage.Grant{
		grantOf("b", "sid", true), grantOf("a", "sid", true), grantOf("offline", "sid", false),
		grantOf("other", "another sid", true), grantOf("no session", "", true),
	}}
	aCode.add(&c, "code", "a")
	f.commit(c)
	f.commit(signOut("sid"))
	f.revoked([]string{"a", "b"}, "offline", "other", "no session")
	// The grant says so to whatever came of it, and is the same otherwise.
	want := grantOf("a", "sid", true)
	want.RevokedAt = start.Add(6)
	code, of, err := f.store.Code(f.Context(), storage.DigestOf("code"))
	f.equal("code", []any{code, of, err}, []any{newCode("code", "a"), want, nil})
	f.refuse(aCode.of(start, "code"), storage.ErrRevoked)
}

func signOutInserted(f *fixture) {
	c := signOut("sid")
	c.Grants = []storage.Grant{grantOf("new", "sid", true), grantOf("offline", "sid", false), grantOf("other", "another sid", true)}
	f.commit(c)
	f.revoked([]string{"new"}, "offline", "other")

	// What comes after the sign-out is not its business.
	f.commit(storage.Changes{Grants: []storage.Grant{grantOf("later", "sid", true)}})
	f.revoked([]string{"new"}, "later")
}

func signOutTwice(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{grantOf("before", "sid", true), grantOf("grant", "sid", true)}})
	f.commit(storage.Changes{RevokeGrants: []string{"before"}})
	f.commit(signOut("sid", "sid"))
	again := signOut("sid")
	again.At = start.Add(7)
	f.commit(again)
	f.revoked([]string{"grant"})
	f.revokedAt("before", start)
}

// signOutClients tests that whoever signs a user out learns afterwards whom to
// tell: of a client that joins meanwhile, too.
func signOutClients(f *fixture) {
	f.commit(storage.Changes{SessionClients: []storage.SessionClient{newSessionClient("sid", "a"), newSessionClient("other", "a")}})
	c := signOut("sid")
	c.SessionClients = []storage.SessionClient{newSessionClient("sid", "b")}
	f.commit(c)
	clients, err := f.store.SessionClients(f.Context(), "sid")
	f.equal("clients", []any{clients, err}, []any{[]storage.SessionClient{newSessionClient("sid", "a"), newSessionClient("sid", "b")}, nil})
	f.sweep(start.Add(3*time.Hour), 10, 0)
	f.sweep(start.Add(3*time.Hour+1), 10, 3)
	f.clientsOf("sid", 0)
}

// clientsOf tests how many clients a session has.
func (f *fixture) clientsOf(sid string, want int) {
	f.Helper()
	clients, err := f.store.SessionClients(f.Context(), sid)
	f.equal("number of clients of "+sid, []any{len(clients), err}, []any{want, nil})
}

// sessions tests which sessions are there: those of live, and none of ended.
func (f *fixture) sessions(ended []string, live ...string) {
	f.Helper()
	for _, id := range ended {
		_, err := f.store.Session(f.Context(), storage.DigestOf(id))
		f.wants(id, err, storage.ErrNotFound)
	}
	for _, id := range live {
		_, err := f.store.Session(f.Context(), storage.DigestOf(id))
		f.equal(id, err, nil)
	}
}

func signOutSession(f *fixture) {
	same := newSession("same")
	same.SID = "sid of session"
	c := oneOfEach()
	c.Sessions = append(c.Sessions, same, newSession("other"), storage.Session{ID: storage.DigestOf("nameless")})
	f.commit(c)
	f.commit(signOut("", "none", "sid of sessio"))
	f.sessions(nil, "session", "same", "other", "nameless")
	f.commit(signOut("sid of session"))
	f.sessions([]string{"session", "same"}, "other", "nameless")
	f.commit(signOut("sid of session", "sid of other", "sid of other"))
	f.sessions([]string{"session", "same", "other"}, "nameless")

	// Nothing else has changed: the grant is another session's.
	kept := oneOfEach()
	kept.Sessions = nil
	f.holds(kept)
}

func signOutInsertedSession(f *fixture) {
	f.commit(storage.Changes{Sessions: []storage.Session{newSession("renamed")}})
	renamed := newSession("renamed")
	renamed.SID = "sid of new"
	c := signOut("sid of new")
	c.Sessions = []storage.Session{newSession("new"), renamed, newSession("other")}
	f.commit(c)
	f.sessions([]string{"new", "renamed"}, "other")
}

func signOutNone(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{grantOf("no session", "", true), grantOf("grant", "sid", true)}})
	f.commit(signOut(""))
	f.revoked(nil, "no session", "grant")
}

func signOutLookAlikes(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{
		grantOf("c", "ab", true), grantOf("bc", "a", true), grantOf("x", "a\x00b", true), grantOf("b\x00x", "a", true),
	}})
	f.commit(signOut("a"))
	f.revoked([]string{"bc", "b\x00x"}, "c", "x")
}

func signOutSeveral(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{grantOf("1", "a", true), grantOf("2", "b", true), grantOf("3", "c", true)}})
	f.commit(signOut("a", "none", "c"))
	f.revoked([]string{"1", "3"}, "2")
}

func signOutSwept(f *fixture) {
	f.commit(storage.Changes{Grants: []storage.Grant{grantOf("grant", "sid", true)}})
	f.sweep(start.Add(24*time.Hour+1), 10, 1)
	// The name comes back, but in another session.
	f.commit(storage.Changes{Grants: []storage.Grant{grantOf("grant", "another sid", true)}})
	f.commit(signOut("sid"))
	f.revoked(nil, "grant")
	f.commit(signOut("another sid"))
	f.revoked([]string{"grant"})
}
