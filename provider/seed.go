package provider

// SeedUsers are alice and bob, the users of a provider that was given none.
// Their passwords are their names. They have every standard claim of profile,
// email, address and phone (OIDC Core §5.1), and groups.
func SeedUsers() []User {
	return []User{
		{ //nolint:gosec // the password is public: it is the name
			Username:     "alice",
			PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$p5JwKsea3ke1F+mqCAl2rA$Jbpv3DUR9knxJqaTITKmMlr1i8vhSIdaHls2ZQc6FWE",
			Groups:       []string{"staff", "admins"},
			Claims: map[string]any{
				"sub":  "248289761001",
				"name": "Alice Liddell", "given_name": "Alice", "middle_name": "Pleasance", "family_name": "Liddell",
				"nickname": "Ali", "preferred_username": "alice",
				"profile": "https://example.com/alice", "picture": "https://example.com/alice/portrait.jpg",
				"website": "https://alice.example.com",
				"gender":  "female", "birthdate": "1985-05-04", "zoneinfo": "Europe/London", "locale": "en-GB",
				"updated_at": 1767225600,
				"email":      "alice@example.com", "email_verified": true,
				"phone_number": "+44 1865 276150", "phone_number_verified": true,
				"address": map[string]any{
					"formatted":      "Christ Church\nSt Aldate's\nOxford\nOX1 1DP\nUnited Kingdom",
					"street_address": "St Aldate's", "locality": "Oxford", "region": "Oxfordshire",
					"postal_code": "OX1 1DP", "country": "United Kingdom",
				},
			},
		},
		{ //nolint:gosec // the password is public: it is the name
			Username:     "bob",
			PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$o78CuUjIoNugQQlIzqA67A$wkFZTihXmHpqhGA8clcnPgvItu74mo6i4UvSCZ9T2wc",
			Groups:       []string{"staff"},
			Claims: map[string]any{
				"sub":  "248289761002",
				"name": "Bob Cratchit", "given_name": "Robert", "middle_name": "Charles", "family_name": "Cratchit",
				"nickname": "Bob", "preferred_username": "bob",
				"profile": "https://example.com/bob", "picture": "https://example.com/bob/portrait.jpg",
				"website": "https://bob.example.com",
				"gender":  "male", "birthdate": "1979-12-24", "zoneinfo": "Europe/London", "locale": "en-GB",
				"updated_at": 1767225600,
				"email":      "bob@example.com", "email_verified": false,
				"phone_number": "+44 20 7946 0000", "phone_number_verified": false,
				"address": map[string]any{
					"formatted":      "16 Bayham Street\nCamden Town\nLondon\nNW1 0JS\nUnited Kingdom",
					"street_address": "16 Bayham Street", "locality": "London", "region": "Greater London",
					"postal_code": "NW1 0JS", "country": "United Kingdom",
				},
			},
		},
	}
}
