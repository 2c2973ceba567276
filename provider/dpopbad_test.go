package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"
)

// badProof is a proof with one thing wrong, for a request with some token.
type badProof struct {
	name string
	make func(t *testing.T, k dpopKey, method, target, token string) string
	want string // in the error's description
}

// changedProof is a badProof that is signed after the change.
func changedProof(name string, change func(jws), want string) badProof {
	return badProof{name, func(t *testing.T, k dpopKey, method, target, token string) string {
		t.Helper()
		return k.proof(t, method, target, token, change)
	}, want}
}

// byKey is a badProof that another key signs, whose header says what it says.
func byKey(name, alg string, key func(*testing.T) dpopKey, want string) badProof {
	return badProof{name, func(t *testing.T, _ dpopKey, method, target, token string) string {
		t.Helper()
		return key(t).proof(t, method, target, token, withHeader("alg", alg))
	}, want}
}

// badProofs has an entry for each check of RFC 9449 §4.3.
func badProofs(t *testing.T) []badProof {
	t.Helper()
	const (
		noJWT     = "The DPoP header is not a JWT."
		typ       = "typ of the DPoP proof is not that of one."
		algorithm = "The DPoP proof is not signed by an algorithm that is accepted."
		signature = "The signature of the DPoP proof was not made with the key in its header."
		notPublic = "jwk of the DPoP proof holds a private key"
		notItsAlg = "jwk of the DPoP proof is not a key for its alg."
		claims    = "The claims of the DPoP proof are malformed."
		method    = "htm of the DPoP proof is not the method of the request."
		uri       = "htu of the DPoP proof is not the URL of the request."
		late      = "The DPoP proof was not made just now."
		expired   = "The DPoP proof has expired."
		early     = "The DPoP proof is not valid yet."
		jti       = "jti of the DPoP proof is missing or too long."
	)
	text := func(name, raw string) badProof {
		return badProof{name, func(*testing.T, dpopKey, string, string, string) string { return raw }, noJWT}
	}
	list := []badProof{
		text("nothing", ""),
		text("no JWT", "proof"),
		text("dots", ".."),
		text("no JSON", "AAAA.AAAA.AAAA"),
		text("too long", "e30."+strings.Repeat("A", 9000)+"."),
		{"JSON serialization", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			parts := strings.Split(k.proof(t, method, target, token, nil), ".")
			return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
		}, noJWT},
		{"two in one header", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			return k.proof(t, method, target, token, nil) + ", " + k.proof(t, method, target, token, nil)
		}, noJWT},

		changedProof("no typ", withoutMember("typ"), typ),
		changedProof("typ of another JWT", withHeader("typ", "JWT"), typ),
		changedProof("typ of an access token", withHeader("typ", "at+jwt"), typ),

		changedProof("no alg", withoutMember("alg"), algorithm),
		{"alg none", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			raw := k.proof(t, method, target, token, withHeader("alg", "none"))
			return raw[:strings.LastIndexByte(raw, '.')+1]
		}, algorithm},
		byKey("alg RS256", "RS256", rsaKey(2048), algorithm),
		changedProof("alg HS256", withHeader("alg", "HS256"), algorithm),
		changedProof("alg ES384", withHeader("alg", "ES384"), algorithm),

		changedProof("no jwk", withoutMember("jwk"), "jwk of the DPoP proof is missing."),
		changedProof("jwk that is none", withHeader("jwk", "key"), "jwk of the DPoP proof is not a JWK."),
		changedProof("jwk empty", withHeader("jwk", map[string]any{}), "jwk of the DPoP proof is of a kty that is not supported."),
		changedProof("jwk symmetric", withHeader("jwk", map[string]any{"kty": "oct", "k": "AAAA"}), "jwk of the DPoP proof is symmetric."),
		{"jwk private", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			return k.proof(t, method, target, token, withHeader("jwk", jwkOf(t, k.key)))
		}, notPublic},
		{"kid in place of jwk", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			return k.proof(t, method, target, token, func(p jws) { delete(p.header, "jwk"); p.header["kid"] = k.thumbprint(t) })
		}, "jwk of the DPoP proof is missing."},
		byKey("jwk of another alg", "EdDSA", newDPoPKey, notItsAlg),
		byKey("jwk of another curve", "ES256", func(t *testing.T) dpopKey {
			t.Helper()
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return dpopKey{"ES256", key}
		}, notItsAlg),
		byKey("RSA key too short", "PS256", rsaKey(1024), "an RSA key of 1024 bits, fewer than 2048"),
		changedProof("jwk for encryption", func(p jws) { p.header["jwk"].(map[string]any)["use"] = "enc" }, "not for signatures (use)"),

		changedProof("signed by another key", withHeader("jwk", newDPoPKey(t).jwk(t)), signature),
		{"signature damaged", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			return tamper(k.proof(t, method, target, token, nil), 2)
		}, signature},
		{"claims changed", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			parts := strings.Split(k.proof(t, method, target, token, nil), ".")
			parts[1] = strings.Split(k.proof(t, method, target, token, nil), ".")[1]
			return strings.Join(parts, ".")
		}, signature},
		changedProof("critical extension", func(p jws) { p.header["crit"] = []string{"exp"}; p.header["exp"] = 1 }, signature),
		changedProof("claims of other types", withClaim("jti", 1), claims),
		changedProof("iat as text", withClaim("iat", "now"), claims),

		changedProof("no htm", withoutMember("htm"), method),
		changedProof("another htm", withClaim("htm", "PUT"), method),
		{"htm in lower case", func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			return k.proof(t, method, target, token, withClaim("htm", strings.ToLower(method)))
		}, method},

		changedProof("no htu", withoutMember("htu"), uri),
		changedProof("another htu", withClaim("htu", "https://rs.example/token"), uri),

		changedProof("no iat", withoutMember("iat"), "iat of the DPoP proof is missing."),
		changedProof("iat an hour ago", withClaim("iat", time.Now().Add(-time.Hour).Unix()), late),
		changedProof("iat in an hour", withClaim("iat", time.Now().Add(time.Hour).Unix()), late),
		changedProof("iat beyond all time", withClaim("iat", 1e300), claims),

		changedProof("expired", withClaim("exp", time.Now().Add(-31*time.Second).Unix()), expired),
		changedProof("expired long ago", withClaim("exp", -1), expired),
		changedProof("exp as text", withClaim("exp", "tomorrow"), claims),
		changedProof("exp true", withClaim("exp", true), claims),
		changedProof("not valid yet", withClaim("nbf", time.Now().Add(time.Minute).Unix()), early),
		changedProof("nbf as text", withClaim("nbf", "now"), claims),

		changedProof("no jti", withoutMember("jti"), jti),
		changedProof("jti empty", withClaim("jti", ""), jti),
		changedProof("jti too long", withClaim("jti", strings.Repeat("x", 257)), jti),
	}
	for name, htu := range map[string]func(string) string{
		"another path":       func(s string) string { return s + "/" },
		"another scheme":     func(s string) string { return strings.Replace(s, "http:", "https:", 1) },
		"another port":       func(s string) string { return strings.Replace(s, "://127.0.0.1:", "://127.0.0.1:1", 1) },
		"a user name":        func(s string) string { return strings.Replace(s, "://", "://user@", 1) },
		"a path alone":       func(s string) string { return s[strings.LastIndexByte(s, '/'):] },
		"the host as a path": func(s string) string { return strings.Replace(s, "://", ":///", 1) },
		"a longer host":      func(s string) string { return strings.Replace(s, "://", "://evil.", 1) },
		"a slash in disguise": func(s string) string {
			return s[:strings.LastIndexByte(s, '/')] + "%2F" + s[strings.LastIndexByte(s, '/')+1:]
		},
	} {
		list = append(list, badProof{"htu with " + name, func(t *testing.T, k dpopKey, method, target, token string) string {
			t.Helper()
			return k.proof(t, method, target, token, withClaim("htu", htu(target)))
		}, uri})
	}
	return list
}

func rsaKey(bits int) func(*testing.T) dpopKey {
	return func(t *testing.T) dpopKey {
		t.Helper()
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return dpopKey{"PS256", key}
	}
}
