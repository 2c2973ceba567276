package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt believes what the pages of a file say: a reference to a page that is not
// there kills the process, and one in a circle is followed for ever. So before
// bbolt walks through a file that somebody wants looked at, we do, and believe
// nothing. The layout of pages is that of bbolt's internal/common.

const (
	pageHeader  = 16 // id u64, flags u16, count u16, overflow u32
	pageElement = 16
	bucketSize  = 16 // root u64, sequence u64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01
	manyFree      = 0xffff // the number of free pages stands before them
	noFreelist    = ^uint64(0)

	metaMagic, metaVersion = 0xed0cdaed, 2
	metaSize               = 64
)

// layout is what a walk through the pages of a file found.
type layout struct {
	pageSize, pages, free int
	damage                []error
}

// walker walks through the pages.
type walker struct {
	layout
	file  io.ReaderAt
	high  uint64 // pages from here on are not in use
	seen  []bool
	stack []uint64 // pages to be visited
}

// walk visits every page that the file's state refers to.
func walk(file *os.File, pageSize int) (*layout, error) {
	meta, err := readMeta(file, pageSize)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	w := &walker{file: file, high: meta.high, layout: layout{pageSize: pageSize, pages: int(meta.high)}} //nolint:gosec // checked below
	if most := uint64(info.Size())/uint64(pageSize) + 1; meta.high > most {                              //nolint:gosec // sizes
		w.damaged("the file is cut off: %d bytes, and its state has %d pages of %d", info.Size(), meta.high, pageSize)
		return &w.layout, nil
	}
	w.seen = make([]bool, meta.high)
	w.stack = []uint64{meta.root}
	for len(w.stack) > 0 && len(w.damage) < maxProblems {
		last := len(w.stack) - 1
		id := w.stack[last]
		w.stack = w.stack[:last]
		w.visit(id)
	}
	if meta.freelist != noFreelist {
		w.freelist(meta.freelist)
	}
	return &w.layout, nil
}

func (w *walker) damaged(format string, args ...any) {
	w.damage = append(w.damage, fmt.Errorf(format, args...))
}

// page reads a page with those that it continues on; nil if it is damaged.
func (w *walker) page(id uint64) []byte {
	if id < 2 || id >= w.high {
		w.damaged("page %d: there is no such page", id)
		return nil
	}
	header := make([]byte, pageHeader)
	if _, err := w.file.ReadAt(header, int64(id)*int64(w.pageSize)); err != nil { //nolint:gosec // in the file
		w.damaged("page %d: %w", id, cutOff(err))
		return nil
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if got := binary.NativeEndian.Uint64(header); got != id || overflow >= w.high-id {
		w.damaged("page %d: it is not itself, but %d with %d more", id, got, overflow)
		return nil
	}
	for n := id; n <= id+overflow; n++ {
		if w.seen[n] {
			w.damaged("page %d: two refer to it", n)
			return nil
		}
		w.seen[n] = true
	}
	page := make([]byte, (overflow+1)*uint64(w.pageSize))                       //nolint:gosec // a size
	if _, err := w.file.ReadAt(page, int64(id)*int64(w.pageSize)); err != nil { //nolint:gosec // in the file
		w.damaged("page %d: %w", id, cutOff(err))
		return nil
	}
	return page
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the file ends before it")
	}
	return err
}

// visit checks a branch or leaf page, and notes the pages it refers to.
func (w *walker) visit(id uint64) {
	page := w.page(id)
	if page == nil {
		return
	}
	if err := w.elements(page); err != nil {
		w.damaged("page %d: %w", id, err)
	}
}

func (w *walker) elements(page []byte) error {
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if pageHeader+count*pageElement > len(page) {
		return fmt.Errorf("it cannot have %d elements", count)
	}
	for n := range count {
		at := pageHeader + n*pageElement
		element := page[at:]
		switch flags {
		case branchPage:
			if end := uint64(at) + u32(element) + u32(element[4:]); end > uint64(len(page)) {
				return fmt.Errorf("element %d ends outside", n)
			}
			w.stack = append(w.stack, binary.NativeEndian.Uint64(element[8:]))
		case leafPage:
			value := uint64(at) + u32(element[4:]) + u32(element[8:])
			end := value + u32(element[12:])
			if end > uint64(len(page)) {
				return fmt.Errorf("element %d ends outside", n)
			}
			if u32(element)&bucketElement != 0 {
				if err := w.bucket(page[value:end]); err != nil {
					return fmt.Errorf("bucket %d: %w", n, err)
				}
			}
		}
	}
	if flags != leafPage && (flags != branchPage || count == 0) {
		return fmt.Errorf("it is neither a branch nor a leaf (flags %#x, %d elements)", flags, count)
	}
	return nil
}

// bucket notes where a bucket is, or checks it if it stands here.
func (w *walker) bucket(value []byte) error {
	if len(value) < bucketSize {
		return errors.New("it is cut short")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		w.stack = append(w.stack, root)
		return nil
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return errors.New("it is no leaf")
	}
	return w.elements(inline)
}

// freelist checks the list of free pages, and counts them.
func (w *walker) freelist(id uint64) {
	page := w.page(id)
	if page == nil {
		return
	}
	if flags := binary.NativeEndian.Uint16(page[8:]); flags != freelistPage {
		w.damaged("page %d: it is no list of free pages (flags %#x)", id, flags)
		return
	}
	count, from := uint64(binary.NativeEndian.Uint16(page[10:])), uint64(pageHeader)
	if count == manyFree {
		count, from = binary.NativeEndian.Uint64(page[pageHeader:]), pageHeader+8
	}
	if count > (uint64(len(page))-from)/8 {
		w.damaged("page %d: it cannot list %d free pages", id, count)
		return
	}
	for n := range count {
		if free := binary.NativeEndian.Uint64(page[from+8*n:]); free < 2 || free >= w.high {
			w.damaged("page %d: there is no page %d to be free", id, free)
			return
		}
	}
	w.free = int(count) //nolint:gosec // fits the page
}

func u32(b []byte) uint64 { return uint64(binary.NativeEndian.Uint32(b)) }

// meta is what a meta page says of the file's state.
type meta struct{ root, freelist, high, transaction uint64 }

// readMeta returns the later of the two that are valid.
func readMeta(file io.ReaderAt, pageSize int) (latest meta, err error) {
	found := false
	for n := range 2 {
		b := make([]byte, metaSize)
		if _, err := file.ReadAt(b, int64(n*pageSize+pageHeader)); err != nil {
			return meta{}, cutOff(err)
		}
		sum := fnv.New64a()
		sum.Write(b[:metaSize-8])
		if u32(b) != metaMagic || u32(b[4:]) != metaVersion || binary.NativeEndian.Uint64(b[metaSize-8:]) != sum.Sum64() {
			continue
		}
		m := meta{
			root: binary.NativeEndian.Uint64(b[16:]), freelist: binary.NativeEndian.Uint64(b[32:]),
			high: binary.NativeEndian.Uint64(b[40:]), transaction: binary.NativeEndian.Uint64(b[48:]),
		}
		if !found || m.transaction > latest.transaction {
			latest, found = m, true
		}
	}
	if !found {
		return meta{}, errors.New("neither of its two beginnings is valid")
	}
	return latest, nil
}
