// `Buffer`, as far as codecs use that of Node.js: an Uint8Array that reads numbers and text.
(function () {
  "use strict";
  const { defineProperty } = Object;
  const isList = Array.isArray;

  const bytesOf = {
    hex: (text) => {
      const digits = /^(?:[0-9a-f]{2})*/i.exec(text)[0];
      return Array.from({ length: digits.length / 2 }, (_, at) => parseInt(digits.substr(at * 2, 2), 16));
    },
    base64: (text) =>
      Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/").replace(/[^0-9A-Za-z+/]/g, "")), (c) => c.charCodeAt(0)),
    latin1: (text) => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at) & 255),
    utf8: (text) => bytesOf.latin1(unescape(encodeURIComponent(text.toWellFormed()))),
  };
  const textOf = {
    hex: (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    base64: (bytes) => btoa(textOf.latin1(bytes)),
    latin1: (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""),
    ascii: (bytes) => textOf.latin1(Array.from(bytes, (byte) => byte & 127)),
    utf8: utf8Text,
  };
  bytesOf.ascii = bytesOf.latin1;
  for (const coding of [bytesOf, textOf]) {
    Object.assign(coding, { binary: coding.latin1, "utf-8": coding.utf8, base64url: coding.base64 });
  }
  // What is no UTF-8 becomes U+FFFD, as everywhere.
  function utf8Text(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; ) {
      const first = bytes[at++];
      const more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1;
      let point = more > 0 ? first & (63 >> more) : first;
      let rest = more;
      while (rest > 0 && (bytes[at] & 0xc0) === 0x80) {
        point = (point << 6) | (bytes[at++] & 63);
        rest--;
      }
      const isShort = point < [0, 0x80, 0x800, 0x10000][more] || (point >= 0xd800 && point < 0xe000) || point > 0x10ffff;
      text += rest !== 0 || isShort ? "\ufffd" : String.fromCodePoint(point);
    }
    return text;
  }
  function coder(table, name) {
    const found = table[String(name === undefined ? "utf8" : name).toLowerCase()];
    if (!found) throw new TypeError("Unknown encoding: " + name);
    return found;
  }
  class Bytes extends Uint8Array {
    static from(value, coding) {
      if (typeof value === "string") return new Bytes(coder(bytesOf, coding)(value));
      if (value instanceof ArrayBuffer) return new Bytes(value, arguments[1], arguments[2]);
      return new Bytes(Array.from(isList(value && value.data) ? value.data : value, (byte) => Number(byte) & 255));
    }
    static alloc(length, fill) {
      return new Bytes(length).fill(fill === undefined ? 0 : fill);
    }
    static concat(list) {
      return Bytes.from([].concat(...list.map((bytes) => Array.from(bytes))));
    }
    static isBuffer(value) {
      return value instanceof Bytes;
    }
    static byteLength(text, coding) {
      return Bytes.from(text, coding).length;
    }
    slice(from, to) {
      return this.subarray(from, to);
    }
    equals(other) {
      return this.length === other.length && this.every((byte, at) => byte === other[at]);
    }
    toString(coding, from, to) {
      return coder(textOf, coding)(this.subarray(from, to));
    }
    toJSON() {
      return { type: "Buffer", data: Array.from(this) };
    }
    write(text, at = 0, length = this.length - at, coding = "utf8") {
      const bytes = coder(bytesOf, coding)(text).slice(0, length);
      this.set(bytes, at);
      return bytes.length;
    }
  }
  const bytes = Bytes.prototype;
  function method(names, action) {
    for (const name of names) defineProperty(bytes, name, { value: action, writable: true, configurable: true });
  }
  function view(of, at, width) {
    if (!(at >= 0 && at + width <= of.length && at % 1 === 0)) {
      throw new RangeError(`byte ${at} to ${at + width - 1} of a Buffer of ${of.length} bytes`);
    }
    return new DataView(of.buffer, of.byteOffset + at, width);
  }
  const numbers = { UInt8: "Uint8", Int8: "Int8", UInt16: "Uint16", Int16: "Int16", UInt32: "Uint32", Int32: "Int32" };
  Object.assign(numbers, { Float: "Float32", Double: "Float64", BigUInt64: "BigUint64", BigInt64: "BigInt64" });
  for (const [name, type] of Object.entries(numbers)) {
    const width = Number(/\d+$/.exec(type)[0]) / 8;
    for (const [suffix, isLittle] of width === 1 ? [["", false]] : [["LE", true], ["BE", false]]) {
      const cases = [name + suffix, name.replace("UInt", "Uint") + suffix];
      method(
        cases.map((name) => "read" + name),
        function (at = 0) {
          return view(this, at, width)["get" + type](0, isLittle);
        },
      );
      method(
        cases.map((name) => "write" + name),
        function (value, at = 0) {
          view(this, at, width)["set" + type](0, value, isLittle);
          return at + width;
        },
      );
    }
  }
  for (const isLittle of [true, false]) {
    const suffix = isLittle ? "LE" : "BE";
    const read = (of, at, width) => {
      view(of, at, width);
      const digits = Array.from(of.subarray(at, at + width));
      return (isLittle ? digits.reverse() : digits).reduce((number, byte) => number * 256 + byte, 0);
    };
    method(["readUInt" + suffix, "readUint" + suffix], function (at, width) {
      return read(this, at, width);
    });
    method(["readInt" + suffix], function (at, width) {
      const number = read(this, at, width);
      return number >= 2 ** (width * 8 - 1) ? number - 2 ** (width * 8) : number;
    });
  }
  function Buffer(value, coding) {
    return typeof value === "number" ? Bytes.alloc(value) : Bytes.from(value, coding);
  }
  Object.setPrototypeOf(Buffer, Bytes);
  Buffer.prototype = bytes;
  defineProperty(bytes, "constructor", { value: Bytes });
  return { Buffer, Bytes };
})()
