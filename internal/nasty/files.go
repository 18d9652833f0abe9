// Package nasty has files that somebody uploads who means harm, and tells whether a server
// did anything with them that it should not.
package nasty

import (
	"bytes"
	"slices"
	"strings"
)

// script is what must never run, or be in a picture that is shown.
const script = "<script>alert(document.cookie)</script>"

// gps is what must not be in a picture either.
const gps = "Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x88\x25\x00\x04\x00\x00\x00\x01\x00\x00\x00\x1aGPS 52.5200 N "

// File is one of them.
type File struct {
	Name string
	Data []byte
	Kind string // media type that it is to be served as, empty if it is to be refused
	Fine bool   // whether the name stays as it is
}

// Files returns some hundred.
func Files() []File {
	return slices.Concat(active(), programs(), pictures(), bombs(), others(), named())
}

// Large returns a picture that unpacks to as much as is allowed: 31 million pixels, 125 MB.
func Large() File {
	const side = 5600
	return File{Name: "31mp.png", Data: zeroPNG(side, side, 8, 6, side, 4*side), Kind: "image/png", Fine: true}
}

// active are what browsers run, under any name.
func active() []File {
	return []File{
		{Name: "a.svg", Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`)},
		{Name: "a.png", Data: []byte(`<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg">` + script + `</svg>`)},
		{Name: "a.html", Data: []byte("<!DOCTYPE html><html>" + script)},
		{Name: "a.jpg", Data: []byte("<html>" + script)},
		{Name: "a.gif", Data: []byte(" \r\n\t<HTML><body onload=alert(1)>")},
		{Name: "a.txt", Data: []byte("\xef\xbb\xbf<html>" + script)},
		{Name: "b.txt", Data: []byte("<!-- comment -->" + "<script>x</script>")},
		{Name: "c.txt", Data: []byte("<iframe src=javascript:alert(1)>")},
		{Name: "a.xhtml", Data: []byte(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">` + script + `</html>`)},
		{Name: "a.xml", Data: []byte(`<?xml version="1.0"?><?xml-stylesheet href="javascript:alert(1)"?><a/>`)},
		{Name: "a.rss", Data: []byte(`<?xml version="1.0"?><rss version="2.0"></rss>`)},
		{Name: "a.php", Data: []byte("<?php system($_GET['c']); ?>")},
		{Name: "a.sh", Data: []byte("#!/bin/sh\nrm -rf /\n")},
		{Name: "a.py", Data: []byte("#!/usr/bin/env python\nimport os\n")},
		{Name: "a.js", Data: []byte("#!/usr/bin/env node\nalert(1)\n")},
		{Name: "utf16.html", Data: wide("<html>" + script), Kind: "text/plain"},
		{Name: "utf7.html", Data: []byte("+ADw-script+AD4-alert(1)+ADw-/script+AD4-"), Kind: "text/plain"},
		{Name: "text-first.html", Data: []byte("hello " + script), Kind: "text/plain"},
		{Name: "a.mht", Data: []byte("MIME-Version: 1.0\nContent-Type: text/html\n\n" + script), Kind: "text/plain"},
		{Name: "a.hta", Data: []byte("x = 1 : " + script), Kind: "text/plain"},
		{Name: "a.bat", Data: []byte("@echo off\r\ndel *.*\r\n"), Kind: "text/plain"},
		{Name: "a.url", Data: []byte("[InternetShortcut]\nURL=file:///c:/x.exe\n"), Kind: "text/plain"},
	}
}

// programs are those, and what unpacks to something.
func programs() []File {
	return []File{
		{Name: "a.exe", Data: append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)},
		{Name: "a.jpg.exe", Data: append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)},
		{Name: "a", Data: append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 200)...)},
		{Name: "a.class", Data: []byte("\xca\xfe\xba\xbe\x00\x00\x00\x34\x00\x00")},
		{Name: "a.swf", Data: []byte("CWS\x0a\x00\x00\x00\x00")},
		{Name: "a.wasm", Data: []byte("\x00asm\x01\x00\x00\x00")},
		{Name: "a.jar", Data: zipped("META-INF/MANIFEST.MF", "A.class")},
		{Name: "a.gz", Data: gzipped()},
		{Name: "a.rar", Data: []byte("Rar!\x1a\x07\x00....")},
		{Name: "a.7z", Data: []byte("7z\xbc\xaf\x27\x1c....")},
		{Name: "bomb.zip", Data: zipped("a", "b", "c"), Kind: "application/zip", Fine: true},
		{Name: "../../x.docx", Data: zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), Kind: "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{Name: "macro.xlsm", Data: zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"), Kind: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
		{Name: "zip-slip.zip", Data: zipped("../../../../tmp/evil"), Kind: "application/zip", Fine: true},
	}
}

// pictures are some that are more than that.
func pictures() []File {
	jpg, anim, png := decoded(smallJPEG), decoded(smallGIF), decoded(smallPNG)
	return []File{
		{Name: "poly.gif", Data: []byte("GIF89a=1;alert(1)//")},
		{Name: "poly2.gif", Data: []byte("GIF89a/*\x00\x00\x00\x00*/=1;" + script + "//\x3b")},
		{Name: "behind.gif", Data: append(bytes.Clone(anim), script...), Kind: "image/gif", Fine: true},
		{Name: "comment.gif", Data: slices.Concat(anim[:13+6], []byte("\x21\xfe\x27"+script+"\x00"), anim[13+6:]), Kind: "image/gif", Fine: true},
		{Name: "comment.jpg", Data: segmented(jpg, 0xfe, script, ""), Kind: "image/jpeg", Fine: true},
		{Name: "behind.jpg", Data: segmented(jpg, 0xfe, "x", script+"PK\x03\x04"), Kind: "image/jpeg", Fine: true},
		{Name: "xmp.jpg", Data: segmented(jpg, 0xe1, "http://ns.adobe.com/xap/1.0/\x00"+script, ""), Kind: "image/jpeg", Fine: true},
		{Name: "gps.jpg", Data: segmented(jpg, 0xe1, gps, ""), Kind: "image/jpeg", Fine: true},
		{Name: "offset.jpg", Data: segmented(jpg, 0xe1, "Exif\x00\x00II\x2a\x00\xff\xff\xff\xff GPS", ""), Kind: "image/jpeg", Fine: true},
		{Name: "loop.jpg", Data: segmented(jpg, 0xe1, "Exif\x00\x00II\x2a\x00\x08\x00\x00\x00\xff\xff GPS", ""), Kind: "image/jpeg", Fine: true},
		{Name: "thumb.jpg", Data: segmented(jpg, 0xe0, "JFXX\x00\x10"+script, ""), Kind: "image/jpeg", Fine: true},
		{Name: "text.png", Data: zeroPNG(4, 4, 8, 0, 4, 4, pngChunk("tEXt", []byte("Comment\x00"+script))), Kind: "image/png", Fine: true},
		{Name: "exif.png", Data: zeroPNG(4, 4, 8, 0, 4, 4, pngChunk("eXIf", []byte("MM GPS"))), Kind: "image/png", Fine: true},
		{Name: "own.png", Data: zeroPNG(4, 4, 8, 0, 4, 4, pngChunk("phPx", []byte("<?php"+script))), Kind: "image/png", Fine: true},
		{Name: "behind.png", Data: append(zeroPNG(4, 4, 8, 0, 4, 4), script...), Kind: "image/png", Fine: true},
		{Name: "cut.jpg", Data: jpg[:len(jpg)-30]},
		{Name: "cut.png", Data: png[:len(png)-20]},
		{Name: "head.png", Data: png[:20]},
		{Name: "head.jpg", Data: []byte("\xff\xd8\xff\xe0")},
		{Name: "head.webp", Data: []byte("RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff")},
	}
}

// bombs are small, and large when they are opened.
func bombs() []File {
	jpg, anim := decoded(smallJPEG), decoded(smallGIF)
	return []File{
		{Name: "100mp.png", Data: zeroPNG(10_000, 10_000, 1, 0, 10, 1250)},
		{Name: "line.png", Data: zeroPNG(1<<30, 1, 1, 0, 1, 1<<16)},
		{Name: "giant.gif", Data: slices.Concat([]byte("GIF89a\xff\xff\xff\xff"), anim[10:])},
		{Name: "giant.jpg", Data: giantJPEG(jpg)},
		{Name: "38mp.png", Data: zeroPNG(6200, 6200, 16, 6, 10, 8*6200), Kind: "image/png", Fine: true},
		{Name: "short.png", Data: zeroPNG(1000, 1000, 8, 6, 10, 4000), Kind: "image/png", Fine: true},
	}
}

// others are pictures that nobody can clean, and what is to be saved and never shown.
func others() []File {
	return []File{
		{Name: "a.tiff", Data: []byte("II*\x00\xff\xff\xff\xff")},
		{Name: "a.bmp", Data: append([]byte("BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), make([]byte, 60)...)},
		{Name: "a.ico", Data: []byte("\x00\x00\x01\x00\x01\x00\x10\x10")},
		{Name: "a.heic", Data: []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")},
		{Name: "a.avif", Data: []byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1avif")},
		{Name: "a.psd", Data: []byte("8BPS\x00\x01\x00\x00\x00\x00\x00\x00")},
		{Name: "a.pdf", Data: []byte("%PDF-1.7\n/OpenAction << /S /JavaScript /JS (app.alert(1)) >>"), Kind: "application/pdf", Fine: true},
		{Name: "pdf.html", Data: []byte("%PDF-1.7\n" + script), Kind: "application/pdf"},
		{Name: "formula.csv", Data: []byte("a,b\n=cmd|' /C calc'!A0,1\n"), Kind: "text/csv", Fine: true},
		{Name: "a.json", Data: []byte(`{"__proto__":{"x":1}}`), Kind: "application/json", Fine: true},
		{Name: "song.mp3", Data: append([]byte("\xff\xfb\x90\x00"), make([]byte, 400)...), Kind: "audio/mpeg", Fine: true},
	}
}

// named are files that are fine, and called so that they get somewhere.
func named() (list []File) {
	for _, name := range []string{ // of a file that is fine
		`..\..\..\evil.txt`, "../../../etc/passwd", "a\x00.html", strings.Repeat("ä", 10_000) + ".txt", "invoice\u202egpj.exe", "a\r\nSet-Cookie: x=1.txt",
		"CON.txt", "com1", `a";filename="b.html`, "...", " ", "名前 👩‍👩‍👧.txt", "a.txt .", "a.txt::$DATA", "<img src=x onerror=alert(1)>.txt", ".htaccess", "%2e%2e%2fa",
		"invoice.pdf.html", "a.txt\u200b.exe", "~$a.txt", "-rf.txt", "\ufeffa.txt",
	} {
		list = append(list, File{Name: name, Data: []byte("plain text"), Kind: "text/plain"})
	}
	return list
}
