package load

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"time"
)

// Limits are what this machine can do at best, measured in the same run. They are
// what the figures of another machine, or of a busier hour, can be compared by.
type Limits struct {
	// RSA is one RSA-2048 signature on one core, ECDSA one ES256 signature.
	RSA   time.Duration `json:"rsa_2048_signature_ns"`
	ECDSA time.Duration `json:"es256_signature_ns"`
}

// limitTime is how long each limit is measured.
const limitTime = 300 * time.Millisecond

func measureLimits(ctx context.Context, _ *Config) Limits {
	digest := sha256.Sum256([]byte("what is signed"))
	var l Limits
	if key, err := rsa.GenerateKey(rand.Reader, 2048); err == nil {
		l.RSA = best(ctx, 10, func() { _, _ = rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]) })
	}
	if key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
		l.ECDSA = best(ctx, 100, func() { _, _ = ecdsa.SignASN1(rand.Reader, key, digest[:]) })
	}
	return l
}

// best is how long f takes when nothing disturbs it: the best of many batches.
func best(ctx context.Context, batch int, f func()) time.Duration {
	fastest := time.Duration(-1)
	for end := time.Now().Add(limitTime); time.Now().Before(end) && ctx.Err() == nil; {
		start := time.Now()
		for range batch {
			f()
		}
		if took := time.Since(start) / time.Duration(batch); fastest < 0 || took < fastest {
			fastest = took
		}
	}
	return max(fastest, 0)
}
