package storagetest

import (
	"strings"
	"time"

	"github.com/oidclab/oidclab/storage"
)

// universes are the names that random operations use, by their sort.
var universes = map[string]*universe{
	"names of any sort": {
		grants:    []string{"g0", "g1", "g2"},
		digests:   []storage.Digest{storage.DigestOf("0"), storage.DigestOf("1"), storage.DigestOf("2")},
		consents:  []storage.ConsentID{{Subject: "alice", ClientID: "c"}, {Subject: "bob", ClientID: "c"}},
		clients:   []string{"c", "d"},
		sids:      []string{"s", "sc"},
		userCodes: []string{"u0", "u1", "u2"},
		origins:   []string{"https://a.example", "https://b.example"},
	},
	// As the provider makes them: they begin with the milliseconds since 1970. All but one
	// are of the same quarter of a second.
	"names with the time": {
		grants:    []string{"0198f2a4c1d0g0", "0198f2a4c1d0g1", "0198f2a4c2d0g2"},
		digests:   []storage.Digest{timed(0xc1, 0), timed(0xc1, 1), timed(0xc2, 2)},
		consents:  []storage.ConsentID{{Subject: "alice", ClientID: "c"}, {Subject: "bob", ClientID: "c"}},
		clients:   []string{"c", "d"},
		sids:      []string{"0198f2a4c1d0s", "0198f2a4c1d0sc"},
		userCodes: []string{"u0", "u1", "u2"},
		origins:   []string{"https://a.example", "https://b.example"},
	},
	"odd names": {
		grants:    []string{"\x00", "0198F2A4C1D0", strings.Repeat("ü", 500)},
		digests:   []storage.Digest{{31: 1}, {5: 1}, {0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff}},
		consents:  []storage.ConsentID{{Subject: "a", ClientID: "bc"}, {Subject: "ab", ClientID: "c"}},
		clients:   []string{"\x00\x00", "<&>\u2028\""},
		sids:      []string{"000000000000", "\x00\x02"},
		userCodes: []string{" ", "0", "\x00"},
		origins:   []string{"https://ü.example", "null"},
	},
}

// timed is a digest that begins with a time, of which the last but one byte is given:
// the last that tells spans apart.
func timed(last, n byte) storage.Digest {
	return storage.Digest{0x01, 0x98, 0xf2, 0xa4, last, 0xd0, n, 31: n + 1}
}

// farTimes are not of our time, but times all the same: the year 0 is before the one that
// means none.
var farTimes = []time.Time{
	time.Date(0, time.January, 1, 0, 0, 0, 0, time.UTC),
	time.Time{}.Add(1),
	time.Date(1969, time.December, 31, 23, 59, 59, 999_999_999, time.UTC),
	time.Date(2262, time.April, 12, 0, 0, 0, 0, time.FixedZone("", -5*60*60)),
	time.Date(9999, time.December, 31, 23, 59, 59, 999_999_999, time.UTC),
}
