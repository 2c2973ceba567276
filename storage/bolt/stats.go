package bolt

import (
	"errors"
	"time"
)

// Stats says what a file holds.
type Stats struct {
	Schema int `json:"schema"`
	// FileBytes is the size of the file, FreeBytes what of it the next records can
	// take before it grows. The file does not shrink by itself: Compact.
	FileBytes int64 `json:"file_bytes"`
	FreeBytes int64 `json:"free_bytes"`
	Pages     int   `json:"pages"`
	FreePages int   `json:"free_pages"`
	// Records are the kinds of records, Indexes what finds them by something else
	// than their names.
	Records []Holding `json:"records"`
	Indexes []Holding `json:"indexes"`
}

// Holding is what there is of one kind.
type Holding struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	// Bytes are those of keys and values, without what the pages cost.
	Bytes int64 `json:"bytes"`
	// Expired are those that the next sweep removes.
	Expired int `json:"expired"`
}

// Stats counts what the file holds, and what of it has expired now.
func (f *File) Stats(now time.Time) (*Stats, error) {
	info, err := f.file.Stat()
	if err != nil {
		return nil, err
	}
	s := &Stats{
		Schema: f.Schema, FileBytes: info.Size(),
		Pages: f.layout.pages, FreePages: f.layout.free,
	}
	// Pages behind the last one in use are free as well.
	s.FreeBytes = int64(f.layout.free)*int64(f.layout.pageSize) + max(0, s.FileBytes-int64(f.layout.pages)*int64(f.layout.pageSize))
	err = f.view(func(t *tx) error {
		holdings := map[kind]*Holding{}
		for _, k := range everyKind {
			holdings[k] = &Holding{Kind: k.String()}
		}
		if err := f.each(t, func(k kind, key, value []byte) error {
			holdings[k].add(key, value)
			if !k.expires() {
				return nil
			}
			expires, err := record{k, key}.expires(t)
			if err == nil && !expires.IsZero() && expires.Before(now) {
				holdings[k].Expired++
			}
			return nil // what cannot be read is Check's to tell
		}); err != nil {
			return err
		}
		for _, k := range everyKind {
			s.Records = append(s.Records, *holdings[k])
		}
		return s.countIndexes(t)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Stats) countIndexes(t *tx) error {
	expiry := Holding{Kind: string(expiryBucket)}
	var err error
	if bucket := t.Bucket(expiryBucket); bucket != nil {
		err = bucket.ForEach(func(key, value []byte) error {
			expiry.add(key, value)
			return nil
		})
	}
	s.Indexes = append(s.Indexes, expiry)
	for _, k := range everyIndex {
		h := Holding{Kind: k.String()}
		err = errors.Join(err, t.each(k, func(key, value []byte) error {
			h.add(key, value)
			return nil
		}))
		s.Indexes = append(s.Indexes, h)
	}
	return err
}

func (h *Holding) add(key, value []byte) {
	h.Count++
	h.Bytes += int64(len(key) + len(value))
}
