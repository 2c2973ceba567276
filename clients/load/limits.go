package load

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are what this machine can do at best, measured in the same run. They are
// what makes figures of different machines, or hours, comparable.
type Limits struct {
	// RSA is one RSA-2048 signature on one core, ECDSA one ES256 signature.
	RSA   time.Duration `json:"rsa_2048_signature_ns"`
	ECDSA time.Duration `json:"es256_signature_ns"`
	// Commit is what a commit costs an embedded store like bbolt: two writes, each
	// of which waits for the disk. The median, measured in Dir.
	Commit time.Duration `json:"synced_commit_ns"`
	Dir    string        `json:"synced_commit_dir"`
	// Exchanges are how many HTTP exchanges per second this client has with a
	// trivial handler in this process, on all cores, by how many run at once.
	Exchanges map[int]float64 `json:"http_exchanges_per_second"`

	sign func() // makes one RSA-2048 signature
}

func measureLimits(ctx context.Context, cfg *Config) (*Limits, error) {
	l := &Limits{Exchanges: map[int]float64{}, Dir: cfg.Dir}
	sign, err := signature()
	if err != nil {
		return nil, err
	}
	l.sign, l.RSA = sign, best(ctx, cfg.LimitTime, 1, sign)
	digest := sha256.Sum256([]byte("what is signed"))
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l.ECDSA = best(ctx, cfg.LimitTime, 20, func() { _, _ = ecdsa.SignASN1(rand.Reader, ecKey, digest[:]) })

	if l.Dir == "" {
		l.Dir = os.TempDir()
	}
	if l.Commit, err = commitTime(ctx, cfg.LimitTime, l.Dir); err != nil {
		return nil, err
	}
	for _, operation := range cfg.Operations {
		n := cfg.atOnce(operation)
		if _, known := l.Exchanges[n]; known {
			continue
		}
		if l.Exchanges[n], err = exchangeRate(ctx, cfg, n); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// signature returns a function that makes one RSA-2048 signature. The key takes
// longer to make than all limits together.
var signature = sync.OnceValues(func() (func(), error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte("what is signed"))
	return func() { _, _ = rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]) }, nil
})

// sampleEvery is how often signatures are measured beside the load: so seldom that
// the latencies which they add are not among the 1% that count.
const sampleEvery = time.Second

// underLoad measures signatures beside the load until ctx ends, by their CPU time.
// It is longer than that of a machine at rest: processors share caches, power and,
// where one core has two threads, its units. The server suffers from that just as
// much, so this is the fairer measure of its CPU time. Of four signatures the first
// does not count: where the machine is a virtual one, its kernel takes from who wakes
// up what the host took before.
func underLoad(ctx context.Context, sign func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var total time.Duration
	n := 0
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return total / time.Duration(max(n, 1))
		}
		sign()
		before, known := threadCPU()
		for range 3 {
			sign()
		}
		if after, _ := threadCPU(); known {
			total, n = total+after-before, n+3
		}
	}
}

// best is how long f takes when nothing disturbs it: the best of many short batches,
// since others may be at work here.
func best(ctx context.Context, during time.Duration, batch int, f func()) time.Duration {
	fastest := time.Duration(math.MaxInt64)
	for end := time.Now().Add(during); fastest == math.MaxInt64 || time.Now().Before(end) && ctx.Err() == nil; {
		start := time.Now()
		for range batch {
			f()
		}
		fastest = min(fastest, time.Since(start)/time.Duration(batch))
	}
	return fastest
}

// commitTime writes as bbolt does: the changed pages, then the page that makes them
// count, into a file that does not grow.
func commitTime(ctx context.Context, during time.Duration, dir string) (time.Duration, error) {
	file, err := os.CreateTemp(dir, "oidclab-bench-*")
	if err != nil {
		return 0, fmt.Errorf("measure a synced write: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	pages := bytes.Repeat([]byte{1}, 4*4096)
	if _, err := file.WriteAt(pages, 4096); err != nil {
		return 0, fmt.Errorf("measure a synced write: %w", err)
	}
	var took []time.Duration
	for end := time.Now().Add(during); len(took) == 0 || time.Now().Before(end) && ctx.Err() == nil; {
		start := time.Now()
		for _, part := range []struct {
			data []byte
			at   int64
		}{{pages, 4096}, {pages[:4096], 0}} {
			if _, err := file.WriteAt(part.data, part.at); err != nil {
				return 0, fmt.Errorf("measure a synced write: %w", err)
			}
			if err := syncData(file); err != nil {
				return 0, fmt.Errorf("measure a synced write: %w", err)
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// exchangeRate is how many exchanges per second n workers have with a handler that
// does nothing.
func exchangeRate(ctx context.Context, cfg *Config, n int) (float64, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("measure HTTP on this machine: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: cfg.Timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"active":true}`))
	})}
	defer server.Close()
	go server.Serve(ln) //nolint:errcheck // it ends when it is closed

	wire := newWire(cfg)
	defer wire.close()
	url := "http://" + ln.Addr().String() + "/"
	start, end := time.Now(), time.Now().Add(cfg.LimitTime)
	var done atomic.Int64
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			e := &exchange{wire: wire}
			for ctx.Err() == nil && time.Now().Before(end) {
				e.begin("POST", url).SetBodyString("token=0123456789012345678901234567890123456789012")
				if e.do("trivial handler") != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), nil
}
