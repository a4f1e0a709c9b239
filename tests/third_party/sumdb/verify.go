// Checks what Markstein serves and exports with golang.org/x/mod/sumdb: note reads and verifies the signed notes, tlog the
// tiles, the proof and the hashes. Nothing of the project is used.
//
//	verify FOLDER
//
// FOLDER holds a tlog-policy (policy), a checkpoint, a tlog-proof (proof), and the tiles under their paths. It ends with 0
// where all of it is good, else with 1 and the reason.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// A policy: one log with several keys, and how many of its witnesses are needed.
type policy struct {
	known  note.Verifiers
	log    string
	quorum int
}

// A cosigner verifies C2SP cosignature/v1, which the package note leaves to its callers.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }
func (c *cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(c.key, append([]byte(head), msg...), sig[8:])
}

func readCosigner(vkey string) (*cosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("malformed verifier key")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return nil, errors.New("not the key of a cosigner")
	}
	return &cosigner{parts[0], uint32(hash), key[1:]}, nil
}

func readPolicy(text string) (*policy, error) {
	p := &policy{}
	var verifiers []note.Verifier
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && words[0] == "log":
			verifier, err := note.NewVerifier(words[1])
			if err != nil {
				return nil, err
			}
			p.log = verifier.Name()
			verifiers = append(verifiers, verifier)
		case len(words) == 3 && words[0] == "witness":
			verifier, err := readCosigner(words[2])
			if err != nil {
				return nil, err
			}
			verifiers = append(verifiers, verifier)
		case len(words) > 3 && words[0] == "group":
			quorum, err := strconv.Atoi(words[2])
			if err != nil {
				return nil, err
			}
			p.quorum = quorum
		}
	}
	if p.log == "" || p.quorum == 0 {
		return nil, errors.New("the policy has no log or no quorum")
	}
	p.known = note.VerifierList(verifiers...)
	return p, nil
}

// checkpoint opens a note and returns the tree head that it is on, where the policy accepts it.
func (p *policy) checkpoint(msg []byte) (*tlog.Tree, error) {
	n, err := note.Open(msg, p.known)
	if err != nil {
		return nil, err
	}
	signed, cosigned := false, map[string]bool{}
	for _, sig := range n.Sigs {
		if sig.Name == p.log {
			signed = true
		} else {
			cosigned[sig.Name] = true
		}
	}
	lines := strings.Split(n.Text, "\n")
	switch {
	case len(lines) != 4 || lines[3] != "":
		return nil, errors.New("the checkpoint has not three lines")
	case lines[0] != p.log || !signed:
		return nil, errors.New("no line of the log")
	case len(cosigned) < p.quorum:
		return nil, fmt.Errorf("%d cosignatures, %d are needed", len(cosigned), p.quorum)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, err
	}
	return &tlog.Tree{N: size, Hash: root}, nil
}

// tiles reads them from a folder. C2SP leaves the height out of the path and calls the records entries.
type tiles string

func (folder tiles) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	path = strings.Replace(path, "tile/8/", "tile/", 1)
	return os.ReadFile(filepath.Join(string(folder), filepath.FromSlash(path)))
}

func (folder tiles) Height() int { return height }
func (folder tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		data, err := folder.read(tile)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}
func (folder tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// entries checks the entry bundles of a tree against its tiles, and the tiles against its root.
func entries(tree *tlog.Tree, folder tiles, reader tlog.HashReader) error {
	var places []int64
	for i := int64(0); i < tree.N; i++ {
		places = append(places, tlog.StoredHashIndex(0, i))
	}
	hashes, err := reader.ReadHashes(places)
	if err != nil {
		return err
	}
	for first := int64(0); first < tree.N; first += 1 << height {
		width := tree.N - first
		if width > 1<<height {
			width = 1 << height
		}
		bundle, err := folder.read(tlog.Tile{H: height, L: -1, N: first >> height, W: int(width)})
		if err != nil {
			return err
		}
		for i := first; i < first+width; i++ {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("entry %d has no end", i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if tlog.RecordHash(bundle[2:end]) != hashes[i] {
				return fmt.Errorf("entry %d is not that of the tile", i)
			}
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return errors.New("a bundle has more entries than its tile")
		}
	}
	return nil
}

func proof(text string, p *policy, tree *tlog.Tree, reader tlog.HashReader) error {
	parts := strings.SplitN(text, "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" ||
		!strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return errors.New("this is no tlog-proof with a leaf")
	}
	head, err := p.checkpoint([]byte(parts[1]))
	if err != nil {
		return err
	}
	leaf, err := base64.StdEncoding.DecodeString(lines[1][len("extra "):])
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(lines[2][len("index "):], 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	if err := tlog.CheckRecord(path, head.N, head.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return err
	}
	if *head != *tree {
		return nil
	}
	ours, err := tlog.ProveRecord(tree.N, index, reader)
	if err != nil {
		return err
	}
	if fmt.Sprint(ours) != fmt.Sprint(path) {
		return errors.New("the tiles give another path")
	}
	return nil
}

func run(folder string) error {
	text := func(name string) string {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		return string(data)
	}
	p, err := readPolicy(text("policy"))
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	tree, err := p.checkpoint([]byte(text("checkpoint")))
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	reader := tlog.TileHashReader(*tree, tiles(folder))
	if err := entries(tree, tiles(folder), reader); err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	if err := proof(text("proof"), p, tree, reader); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: verify FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
