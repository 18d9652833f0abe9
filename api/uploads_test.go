package api_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"io/fs"
	"mime"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"

	"github.com/parley-chat/parley"
	"github.com/parley-chat/parley/api"
)

// script is what must never run, or be in a picture that is shown.
const script = "<script>alert(document.cookie)</script>"

// upload is a nasty file. kind is the media type that it is served as, empty if it is
// to be refused; fine tells that the name stays as it is.
type upload struct {
	name string
	data []byte
	kind string
	fine bool
}

func pngChunk(name string, body []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), name...)
	return binary.BigEndian.AppendUint32(append(b, body...), crc32.ChecksumIEEE(append([]byte(name), body...)))
}

// zeroPNG is a picture of nothing, which is small however large it is: valid, if it has
// as many rows as it says.
func zeroPNG(w, h uint32, depth, model byte, rows, bytesPerRow int, extra ...[]byte) []byte {
	head := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h), depth, model, 0, 0, 0)
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestSpeed) // which is a level
	row := make([]byte, bytesPerRow+1)
	for range rows {
		_, _ = z.Write(row) // a buffer takes everything
	}
	_ = z.Close()
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", head), slices.Concat(extra...), pngChunk("IDAT", b.Bytes()), pngChunk("IEND", nil))
}

func smallJPEG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 16, 8)), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func smallGIF(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.Black, color.White}), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func segmented(data []byte, marker byte, body string, behind string) []byte {
	segment := append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
	return slices.Concat(data[:2], segment, data[2:], []byte(behind))
}

func zipped(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w := must(z.Create(name))(t)
		must(w.Write(make([]byte, 1<<20)))(t)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func wide(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// uploads are some eighty nasty files.
func uploads(t *testing.T) []upload {
	t.Helper()
	jpg, anim := smallJPEG(t), smallGIF(t)
	const gps = "Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x88\x25\x00\x04\x00\x00\x00\x01\x00\x00\x00\x1aGPS 52.5200 N "
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	must(w.Write(make([]byte, 10<<20)))(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	list := []upload{
		// What browsers run, under any name.
		{name: "a.svg", data: []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`)},
		{name: "a.png", data: []byte(`<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg">` + script + `</svg>`)},
		{name: "a.html", data: []byte("<!DOCTYPE html><html>" + script)},
		{name: "a.jpg", data: []byte("<html>" + script)},
		{name: "a.gif", data: []byte(" \r\n\t<HTML><body onload=alert(1)>")},
		{name: "a.txt", data: []byte("\xef\xbb\xbf<html>" + script)},
		{name: "b.txt", data: []byte("<!-- comment -->" + "<script>x</script>")},
		{name: "c.txt", data: []byte("<iframe src=javascript:alert(1)>")},
		{name: "a.xhtml", data: []byte(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">` + script + `</html>`)},
		{name: "a.xml", data: []byte(`<?xml version="1.0"?><?xml-stylesheet href="javascript:alert(1)"?><a/>`)},
		{name: "a.rss", data: []byte(`<?xml version="1.0"?><rss version="2.0"></rss>`)},
		{name: "a.php", data: []byte("<?php system($_GET['c']); ?>")},
		{name: "a.sh", data: []byte("#!/bin/sh\nrm -rf /\n")},
		{name: "a.py", data: []byte("#!/usr/bin/env python\nimport os\n")},
		{name: "a.js", data: []byte("#!/usr/bin/env node\nalert(1)\n")},
		{name: "utf16.html", data: wide("<html>" + script), kind: "text/plain"},
		{name: "utf7.html", data: []byte("+ADw-script+AD4-alert(1)+ADw-/script+AD4-"), kind: "text/plain"},
		{name: "text-first.html", data: []byte("hello " + script), kind: "text/plain"},
		{name: "a.mht", data: []byte("MIME-Version: 1.0\nContent-Type: text/html\n\n" + script), kind: "text/plain"},
		{name: "a.hta", data: []byte("x = 1 : " + script), kind: "text/plain"},
		{name: "a.bat", data: []byte("@echo off\r\ndel *.*\r\n"), kind: "text/plain"},
		{name: "a.url", data: []byte("[InternetShortcut]\nURL=file:///c:/x.exe\n"), kind: "text/plain"},

		// Programs and what unpacks to something.
		{name: "a.exe", data: append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)},
		{name: "a.jpg.exe", data: append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)},
		{name: "a", data: append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 200)...)},
		{name: "a.class", data: []byte("\xca\xfe\xba\xbe\x00\x00\x00\x34\x00\x00")},
		{name: "a.swf", data: []byte("CWS\x0a\x00\x00\x00\x00")},
		{name: "a.wasm", data: []byte("\x00asm\x01\x00\x00\x00")},
		{name: "a.jar", data: zipped(t, "META-INF/MANIFEST.MF", "A.class")},
		{name: "a.gz", data: gz.Bytes()},
		{name: "a.rar", data: []byte("Rar!\x1a\x07\x00....")},
		{name: "a.7z", data: []byte("7z\xbc\xaf\x27\x1c....")},
		{name: "bomb.zip", data: zipped(t, "a", "b", "c"), kind: "application/zip", fine: true},
		{name: "../../x.docx", data: zipped(t, "[Content_Types].xml", "_rels/.rels", "word/document.xml"), kind: "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{name: "macro.xlsm", data: zipped(t, "[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"), kind: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
		{name: "zip-slip.zip", data: zipped(t, "../../../../tmp/evil"), kind: "application/zip", fine: true},

		// Pictures that are more than that.
		{name: "poly.gif", data: []byte("GIF89a=1;alert(1)//")},
		{name: "poly2.gif", data: []byte("GIF89a/*\x00\x00\x00\x00*/=1;" + script + "//\x3b")},
		{name: "behind.gif", data: append(bytes.Clone(anim), script...), kind: "image/gif", fine: true},
		{name: "comment.gif", data: slices.Concat(anim[:13+6], []byte("\x21\xfe\x27"+script+"\x00"), anim[13+6:]), kind: "image/gif", fine: true},
		{name: "comment.jpg", data: segmented(jpg, 0xfe, script, ""), kind: "image/jpeg", fine: true},
		{name: "behind.jpg", data: segmented(jpg, 0xfe, "x", script+"PK\x03\x04"), kind: "image/jpeg", fine: true},
		{name: "xmp.jpg", data: segmented(jpg, 0xe1, "http://ns.adobe.com/xap/1.0/\x00"+script, ""), kind: "image/jpeg", fine: true},
		{name: "gps.jpg", data: segmented(jpg, 0xe1, gps, ""), kind: "image/jpeg", fine: true},
		{name: "offset.jpg", data: segmented(jpg, 0xe1, "Exif\x00\x00II\x2a\x00\xff\xff\xff\xff GPS", ""), kind: "image/jpeg", fine: true},
		{name: "loop.jpg", data: segmented(jpg, 0xe1, "Exif\x00\x00II\x2a\x00\x08\x00\x00\x00\xff\xff GPS", ""), kind: "image/jpeg", fine: true},
		{name: "thumb.jpg", data: segmented(jpg, 0xe0, "JFXX\x00\x10"+script, ""), kind: "image/jpeg", fine: true},
		{name: "text.png", data: zeroPNG(4, 4, 8, 0, 4, 4, pngChunk("tEXt", []byte("Comment\x00"+script))), kind: "image/png", fine: true},
		{name: "exif.png", data: zeroPNG(4, 4, 8, 0, 4, 4, pngChunk("eXIf", []byte("MM GPS"))), kind: "image/png", fine: true},
		{name: "own.png", data: zeroPNG(4, 4, 8, 0, 4, 4, pngChunk("phPx", []byte("<?php"+script))), kind: "image/png", fine: true},
		{name: "behind.png", data: append(zeroPNG(4, 4, 8, 0, 4, 4), script...), kind: "image/png", fine: true},
		{name: "cut.jpg", data: jpg[:len(jpg)-30]},
		{name: "cut.png", data: smallPNG[:len(smallPNG)-20]},
		{name: "head.png", data: smallPNG[:20]},
		{name: "head.jpg", data: []byte("\xff\xd8\xff\xe0")},
		{name: "head.webp", data: []byte("RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff")},

		// Bombs.
		{name: "100mp.png", data: zeroPNG(10_000, 10_000, 1, 0, 10, 1250)},
		{name: "line.png", data: zeroPNG(1<<30, 1, 1, 0, 1, 1<<16)},
		{name: "giant.gif", data: slices.Concat([]byte("GIF89a\xff\xff\xff\xff"), anim[10:])},
		{name: "giant.jpg", data: giantJPEG(jpg)},
		{name: "38mp.png", data: zeroPNG(6200, 6200, 16, 6, 10, 8*6200), kind: "image/png", fine: true},
		{name: "short.png", data: zeroPNG(1000, 1000, 8, 6, 10, 4000), kind: "image/png", fine: true},

		// Pictures that we cannot clean.
		{name: "a.tiff", data: []byte("II*\x00\xff\xff\xff\xff")},
		{name: "a.bmp", data: append([]byte("BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), make([]byte, 60)...)},
		{name: "a.ico", data: []byte("\x00\x00\x01\x00\x01\x00\x10\x10")},
		{name: "a.heic", data: []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")},
		{name: "a.avif", data: []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif")},
		{name: "a.psd", data: []byte("8BPS\x00\x01\x00\x00\x00\x00\x00\x00")},

		// To be saved, never to be shown.
		{name: "a.pdf", data: []byte("%PDF-1.7\n/OpenAction << /S /JavaScript /JS (app.alert(1)) >>"), kind: "application/pdf", fine: true},
		{name: "pdf.html", data: []byte("%PDF-1.7\n" + script), kind: "application/pdf"},
		{name: "formula.csv", data: []byte("a,b\n=cmd|' /C calc'!A0,1\n"), kind: "text/csv", fine: true},
		{name: "a.json", data: []byte(`{"__proto__":{"x":1}}`), kind: "application/json", fine: true},
		{name: "song.mp3", data: append([]byte("\xff\xfb\x90\x00"), make([]byte, 400)...), kind: "audio/mpeg", fine: true},
	}
	for _, name := range []string{ // of a file that is fine
		`..\..\..\evil.txt`, "../../../etc/passwd", "a\x00.html", strings.Repeat("ä", 10_000) + ".txt", "invoice\u202egpj.exe", "a\r\nSet-Cookie: x=1.txt",
		"CON.txt", "com1", `a";filename="b.html`, "...", " ", "名前 👩‍👩‍👧.txt", "a.txt .", "a.txt::$DATA", "<img src=x onerror=alert(1)>.txt", ".htaccess", "%2e%2e%2fa",
		"invoice.pdf.html", "a.txt\u200b.exe", "~$a.txt", "-rf.txt", "\ufeffa.txt",
	} {
		list = append(list, upload{name: name, data: []byte("plain text"), kind: "text/plain"})
	}
	return list
}

// giantJPEG says that it has 65,535 rows and columns.
func giantJPEG(data []byte) []byte {
	data = bytes.Clone(data)
	sof := bytes.Index(data, []byte{0xff, 0xc0})
	copy(data[sof+5:], "\xff\xff\xff\xff")
	return data
}

// inline are the media types that a page may show.
var inline = []string{"image/jpeg", "image/png", "image/gif", "image/webp", "audio/mpeg"}

// Of nothing that somebody uploads does anything run, get out of its folder, or tell
// where a picture was taken.
func TestNastyUploads(t *testing.T) {
	f := setup(t, nil)
	conversation := f.open(t, 1)
	outside := filepath.Dir(f.files)
	for _, u := range uploads(t) {
		t.Run(shown(u.name), func(t *testing.T) {
			id, last := f.upload(t, conversation, u.name, u.data)
			path := "/v1/attachments/" + id
			if u.kind == "" {
				if last.status != http.StatusForbidden && last.status != http.StatusBadRequest && last.status != http.StatusRequestEntityTooLarge {
					t.Fatalf("status %d: %s", last.status, last.body)
				}
				expectProblem(t, f.get(t, f.visitor, path+"/file"), http.StatusNotFound, parley.CodeNotFound)
			} else {
				checkServed(t, f, u, decode[api.Attachment](t, f.expect(t, last, http.StatusOK)))
				f.expect(t, f.do(t, request{method: "DELETE", path: path, token: f.visitor.Token}), http.StatusNoContent)
			}
			if left := filesBelow(t, outside); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, name[:min(len(name), 40)])
}

func filesBelow(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func checkServed(t *testing.T, f *fixture, u upload, a api.Attachment) {
	t.Helper()
	if *a.Type != u.kind || u.fine && a.Name != u.name {
		t.Errorf("it is %s, %q; want %s", *a.Type, a.Name, u.kind)
	}
	if len(a.Name) > 200 || a.Name == "" || strings.ContainsAny(a.Name, "/\\\x00\r\n<>:\"|?*") || strings.ContainsFunc(a.Name, func(r rune) bool {
		return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
	}) {
		t.Errorf("the name is %q", a.Name)
	}
	tails := []string{"/file"}
	if *a.Thumbnail {
		tails = append(tails, "/thumbnail")
	}
	for _, tail := range tails {
		r := f.expect(t, f.get(t, f.visitor, "/v1/attachments/"+a.Id+tail), http.StatusOK)
		disposition, params, err := mime.ParseMediaType(r.header.Get("Content-Disposition"))
		want := "attachment"
		if slices.Contains(inline, r.header.Get("Content-Type")) {
			want = "inline"
		}
		if err != nil || disposition != want || params["filename"] == "" {
			t.Errorf("%s: disposition %s, %v", tail, r.header.Get("Content-Disposition"), err)
		}
		if tail == "/file" && r.header.Get("Content-Type") != u.kind {
			t.Errorf("served as %s", r.header.Get("Content-Type"))
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(r.header.Get("Content-Security-Policy"), "sandbox; default-src 'none'") || r.header.Get("Set-Cookie") != "" {
			t.Errorf("headers %v", r.header)
		}
		if strings.HasPrefix(u.kind, "image/") && (bytes.Contains(r.body, []byte("GPS")) || bytes.Contains(r.body, []byte("<script")) || bytes.Contains(r.body, []byte("<?php"))) {
			t.Errorf("%s: it still has what was hidden in it", tail)
		}
	}
	for _, ending := range []string{".exe", ".html", ".hta", ".bat", ".url", ".svg", ".js", ".xlsm", ".mht"} {
		if strings.HasSuffix(strings.ToLower(a.Name), ending) {
			t.Errorf("it would be opened as %s", a.Name)
		}
	}
}
