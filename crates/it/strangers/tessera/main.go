// Verifies an offer's order log over HTTP with Tessera's client, which shares no code with the server.
//
//	go run . URL
//
// URL is the log's prefix. Opens the checkpoint with the published key, fetches all entry bundles,
// rebuilds the root from them, and has Tessera build and verify inclusion and consistency proofs from
// the served tiles; a served receipt must hold too. Prints OK and exits 0, or what is wrong and exits 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tessera URL")
		os.Exit(2)
	}
	summary, err := verify(context.Background(), strings.TrimRight(os.Args[1], "/")+"/")
	if err != nil {
		fmt.Fprintln(os.Stderr, "WRONG", err)
		os.Exit(1)
	}
	fmt.Println("OK", summary)
}

func verify(ctx context.Context, prefix string) (string, error) {
	root, err := url.Parse(prefix)
	if err != nil {
		return "", err
	}
	fetcher, err := client.NewHTTPFetcher(root, http.DefaultClient)
	if err != nil {
		return "", err
	}
	keys, err := get(prefix + "keys")
	if err != nil {
		return "", err
	}
	verifier, err := note.NewVerifier(strings.SplitN(string(keys), "\n", 2)[0])
	if err != nil {
		return "", fmt.Errorf("keys: %w", err)
	}
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	leaves, err := rebuild(ctx, fetcher, checkpoint)
	if err != nil {
		return "", err
	}
	if checkpoint.Size > 0 {
		if err := checkProofs(ctx, fetcher, checkpoint, leaves); err != nil {
			return "", err
		}
		if err := checkReceipt(prefix, verifier, checkpoint.Size/2, leaves); err != nil {
			return "", fmt.Errorf("receipt: %w", err)
		}
	}
	return fmt.Sprintf("%s: %d leaves, root %x", checkpoint.Origin, checkpoint.Size, checkpoint.Hash), nil
}

// rebuild fetches all leaves and returns their hashes, whose root is the checkpoint's.
func rebuild(ctx context.Context, fetcher *client.HTTPFetcher, checkpoint *log.Checkpoint) ([][]byte, error) {
	hasher := rfc6962.DefaultHasher
	factory := compact.RangeFactory{Hash: hasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	var leaves [][]byte
	for first := uint64(0); first < checkpoint.Size; first += layout.EntryBundleWidth {
		bundle, err := client.GetEntryBundle(ctx, fetcher.ReadEntryBundle, first/layout.EntryBundleWidth, checkpoint.Size)
		if err != nil {
			return nil, err
		}
		for _, entry := range bundle.Entries {
			leaves = append(leaves, hasher.HashLeaf(entry))
			if err := tree.Append(leaves[len(leaves)-1], nil); err != nil {
				return nil, err
			}
		}
	}
	if uint64(len(leaves)) != checkpoint.Size {
		return nil, fmt.Errorf("%d leaves are served, the checkpoint says %d", len(leaves), checkpoint.Size)
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return nil, err
	}
	if len(leaves) == 0 {
		root = hasher.EmptyRoot()
	}
	if !bytes.Equal(root, checkpoint.Hash) {
		return nil, errors.New("the leaves do not hash to the checkpoint's root")
	}
	return leaves, nil
}

// checkProofs has proofs built from the served hash tiles and verified against the root.
func checkProofs(ctx context.Context, fetcher *client.HTTPFetcher, checkpoint *log.Checkpoint, leaves [][]byte) error {
	size, hasher := checkpoint.Size, rfc6962.DefaultHasher
	builder, err := client.NewProofBuilder(ctx, size, fetcher.ReadTile)
	if err != nil {
		return err
	}
	for _, index := range []uint64{0, size / 3, size / 2, size - 1} {
		hashes, err := builder.InclusionProof(ctx, index)
		if err != nil {
			return fmt.Errorf("inclusion of %d: %w", index, err)
		}
		if err := proof.VerifyInclusion(hasher, index, size, leaves[index], hashes, checkpoint.Hash); err != nil {
			return fmt.Errorf("inclusion of %d: %w", index, err)
		}
	}
	older := size/2 + 1
	factory := compact.RangeFactory{Hash: hasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	for _, leaf := range leaves[:older] {
		if err := tree.Append(leaf, nil); err != nil {
			return err
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	hashes, err := builder.ConsistencyProof(ctx, older, size)
	if err != nil {
		return fmt.Errorf("consistency from %d: %w", older, err)
	}
	return proof.VerifyConsistency(hasher, older, size, hashes, root, checkpoint.Hash)
}

// checkReceipt reads a served tlog-proof, whose extra is the leaf.
func checkReceipt(prefix string, verifier note.Verifier, index uint64, leaves [][]byte) error {
	text, err := get(fmt.Sprintf("%sreceipts/%d", prefix, index))
	if err != nil {
		return err
	}
	var receipt tlogproof.TLogProof
	if err := receipt.Unmarshal(text); err != nil {
		return err
	}
	checkpoint, _, _, err := log.ParseCheckpoint(receipt.Checkpoint, verifier.Name(), verifier)
	if err != nil {
		return err
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(receipt.ExtraData)
	if receipt.Index != index || !bytes.Equal(leaf, leaves[index]) {
		return errors.New("it is of another leaf")
	}
	hashes := make([][]byte, len(receipt.Hashes))
	for i := range receipt.Hashes {
		hashes[i] = receipt.Hashes[i][:]
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, checkpoint.Size, leaf, hashes, checkpoint.Hash)
}

func get(address string) ([]byte, error) {
	answer, err := http.Get(address)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
