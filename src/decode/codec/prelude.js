// What a codec finds beside its own code, and what stands between it and us. Runs once in each new context, before the
// codec: given what buffer.js gives, it gives `begin`.
(function (buffer) {
  "use strict";
  const global = globalThis;
  const { Buffer, Bytes } = buffer;
  const { defineProperty, freeze, preventExtensions, isExtensible, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { ownKeys, construct, apply, deleteProperty, defineProperty: defineOwn } = Reflect;
  const stringify = JSON.stringify;
  const isList = Array.isArray;
  const { InternalError } = global;
  const thenOf = Promise.prototype.then;

  // The state of one call.
  let received = 0;
  let chance = 0;

  // ---- What there is: the language, without what reads clocks, tells of garbage, or goes on behind the call.
  const names =
    "Object Function Error EvalError RangeError ReferenceError SyntaxError TypeError URIError InternalError " +
    "AggregateError Iterator Array parseInt parseFloat isNaN isFinite decodeURI decodeURIComponent encodeURI " +
    "encodeURIComponent escape unescape Infinity NaN undefined eval Number Boolean String Math Reflect Symbol " +
    "globalThis BigInt Date RegExp JSON Proxy Map Set WeakMap WeakSet ArrayBuffer Uint8ClampedArray Int8Array " +
    "Uint8Array Int16Array Uint16Array Int32Array Uint32Array BigInt64Array BigUint64Array Float32Array Float64Array " +
    "DataView Promise btoa atob";
  const known = new Set(names.split(" "));
  for (const key of ownKeys(global)) {
    if (typeof key === "string" && !known.has(key)) delete global[key];
  }

  // ---- Time: that of the message, in UTC wherever the process runs, so that a payload decoded again gives the same.
  const Clock = Date;
  const clock = Clock.prototype;
  const utc = Clock.UTC;
  const toUtcString = clock.toUTCString;
  const hasZone = /:\d\d(?:[.,]\d+)?\s*(?:[AP]M\s*)?(?:Z|(?:GMT|UTC?)?\s*[+-]\d\d:?\d\d|GMT|UTC?|[ECMP][SD]T)/i;
  const isIsoDate = /^\s*[+-]?\d{4,6}(?:-\d\d(?:-\d\d)?)?\s*$/;
  const isIso = /^\s*[+-]?\d{4,6}-\d\d-\d\dT/;
  function parse(text) {
    text = String(text);
    if (hasZone.test(text) || isIsoDate.test(text)) return Clock.parse(text);
    return Clock.parse(text + (isIso.test(text) ? "Z" : " GMT"));
  }
  function moment(values) {
    if (values.length === 0) return received;
    if (values.length > 1) return utc(...values);
    const value = values[0];
    if (value instanceof Clock) return value.getTime();
    const plain = typeof value === "object" && value !== null ? toPrimitive(value) : value;
    return typeof plain === "string" ? parse(plain) : Number(plain);
  }
  function toPrimitive(value) {
    const given = value.valueOf();
    return typeof given === "object" ? String(value) : given;
  }
  global.Date = function Date(...values) {
    if (new.target === undefined) return new Clock(received).toString();
    return construct(Clock, [moment(values)], new.target);
  };
  defineProperty(global.Date, "prototype", { value: clock, writable: false });
  defineProperty(global.Date, "length", { value: 7 });
  global.Date.now = () => received;
  global.Date.parse = parse;
  global.Date.UTC = utc;
  for (const key of ownKeys(clock)) {
    const local = typeof key === "string" && key.match(/^([gs]et)UTC(.+)$/);
    if (local) clock[local[1] + local[2]] = clock[key];
  }
  const two = (number) => String(number).padStart(2, "0");
  const shown = (show) =>
    function () {
      return isNaN(this.getTime()) ? "Invalid Date" : show(this, toUtcString.call(this).split(/[ ,]+/));
    };
  const day = (_, [weekday, date, month, year]) => `${weekday} ${month} ${date} ${year}`;
  const hour = (_, words) => `${words[4]} GMT+0000 (Coordinated Universal Time)`;
  const date = (of) => `${of.getUTCMonth() + 1}/${of.getUTCDate()}/${of.getUTCFullYear()}`;
  const time = (of) =>
    `${of.getUTCHours() % 12 || 12}:${two(of.getUTCMinutes())}:${two(of.getUTCSeconds())} ` +
    (of.getUTCHours() < 12 ? "AM" : "PM");
  Object.assign(clock, {
    constructor: global.Date,
    getTimezoneOffset: shown(() => 0),
    getYear() {
      return this.getUTCFullYear() - 1900;
    },
    toString: shown((of, words) => `${day(of, words)} ${hour(of, words)}`),
    toDateString: shown(day),
    toTimeString: shown(hour),
    toLocaleString: shown((of) => `${date(of)}, ${time(of)}`),
    toLocaleDateString: shown(date),
    toLocaleTimeString: shown(time),
  });

  // ---- Chance: the same for each message.
  Math.random = () => {
    chance = (Math.imul(chance, 1664525) + 1013904223) >>> 0;
    return chance / 4294967296;
  };

  // A whole number that fits is one, whatever its type.
  BigInt.prototype.toJSON = function () {
    const number = Number(this);
    return Number.isSafeInteger(number) ? number : String(this);
  };

  // ---- What scripts of Node.js expect. What is printed goes nowhere: a codec may print for each byte.
  const silent = () => {};
  const consoleNames = "log info warn error debug trace assert dir table group groupEnd time timeEnd count";
  const console = Object.fromEntries(consoleNames.split(" ").map((name) => [name, silent]));
  function require(name) {
    if (name === "buffer" || name === "node:buffer") return { Buffer };
    throw new Error(`there is no module "${name}": a codec is one file`);
  }
  Object.assign(global, { Buffer, console, require, module: undefined, exports: undefined });

  // ---- What must be as it was before the next message.

  // Freezes what the language brings, once the codec has run for the first time: it may have added what it misses.
  function freezeAll() {
    const generator = getPrototypeOf(function* () {});
    const asyncGenerator = getPrototypeOf(async function* () {});
    const open = [global.Date, Clock, generator, asyncGenerator, getPrototypeOf(async function () {})];
    for (const iterable of [[], "", new Map(), new Set(), "".matchAll(/x/g)]) {
      open.push(getPrototypeOf(iterable[Symbol.iterator]()));
    }
    for (const key of builtIn) {
      const value = global[key];
      if (key !== "globalThis" && isObject(value)) open.push(value);
    }
    const seen = new Set([global]);
    while (open.length > 0) {
      const object = open.pop();
      if (!isObject(object) || seen.has(object)) continue;
      seen.add(object);
      const keys = ownKeys(object);
      if (typeof object === "function" && keys.length === 2) {
        // Most of all: a function with its name and its length, which cannot be written anyway.
        preventExtensions(object);
        continue;
      }
      open.push(getPrototypeOf(object));
      for (const key of keys) {
        const { value, get, set } = getOwnPropertyDescriptor(object, key);
        open.push(value, get, set);
      }
    }
    for (const object of seen) {
      if (object === Object.prototype || object instanceof Error || object === Error.prototype) allowOwn(object);
      if (object !== global && isExtensible(object)) freeze(object);
    }
    seen.delete(global);
    frozen = seen;
    for (const key of builtIn) {
      if (key !== "module" && key !== "exports") defineProperty(global, key, { writable: false, configurable: false });
    }
  }
  // Scripts that bring `Object.assign` and the like define it each time they run. The second time, that is nothing new.
  let frozen = new Set();
  const isFrozen = Set.prototype.has;
  const isSettled = (object) => apply(isFrozen, frozen, [object]);
  Object.defineProperty = function (object, key, descriptor) {
    return isSettled(object) ? object : defineProperty(object, key, descriptor);
  };
  const { defineProperties } = Object;
  Object.defineProperties = function (object, descriptors) {
    return isSettled(object) ? object : defineProperties(object, descriptors);
  };
  Reflect.defineProperty = function (object, key, descriptor) {
    return isSettled(object) || defineOwn(object, key, descriptor);
  };
  const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";

  // `value.toString = …` and `this.message = …` must go on to make a property of the value's own, though the one that
  // it inherits is frozen.
  function allowOwn(object) {
    for (const key of ownKeys(object)) {
      const { value, writable, enumerable } = getOwnPropertyDescriptor(object, key);
      if (!writable || typeof key !== "string") continue;
      defineProperty(object, key, {
        get: () => value,
        set(own) {
          if (this === object || !isObject(this)) return;
          defineProperty(this, key, { value: own, writable: true, enumerable: true, configurable: true });
        },
        enumerable,
        configurable: false,
      });
    }
  }

  const builtIn = ownKeys(global).filter((key) => typeof key === "string");
  const builtInSet = new Set(builtIn);
  const count = ownKeys(global).length;
  const above = getPrototypeOf(global);

  // Takes away what the codec has left in the global object. False when it cannot be taken away.
  function sweep() {
    const keys = ownKeys(global);
    if (keys.length !== count) {
      for (const key of keys) {
        if (typeof key === "string" ? !builtInSet.has(key) : key !== Symbol.toStringTag) {
          if (!deleteProperty(global, key)) return false;
        }
      }
    }
    return getPrototypeOf(global) === above;
  }

  // ---- The forms of codecs: what the script defines, and how that is called.
  const inputOf = (bytes, port) => ({
    bytes,
    fPort: port,
    recvTime: new global.Date(),
    time: new global.Date().toISOString(),
    variables: {},
  });
  const forms = {
    ts013: ({ decodeUplink }) => decodeUplink && ((bytes, port) => decodeUplink(inputOf(bytes, port))),
    "the-things-network-v2": ({ Decoder }) => Decoder && ((bytes, port) => Decoder(bytes, port)),
    "chirpstack-v3": ({ Decode }) => Decode && ((bytes, port) => Decode(port, bytes, {})),
    milesight: ({ milesightDeviceDecode }) => milesightDeviceDecode && ((bytes) => milesightDeviceDecode(bytes)),
    actility: ({ driver, exported }) => {
      const places = [driver, exported, exported && exported.driver, exported && exported.default];
      const found = places.find((place) => place && typeof place.decodeUplink === "function");
      return found && ((bytes, port) => found.decodeUplink(inputOf(Bytes.from(bytes), port)));
    },
  };

  // The data in what a codec gives: wrapped with errors and warnings, or bare.
  function dataOf(form, given) {
    if (!isObject(given)) return given;
    if (given.then === thenOf) throw new TypeError("the codec gives a promise; it has to give its data at once");
    const errors = typeof given.errors === "string" && given.errors !== "" ? [given.errors] : given.errors;
    if (isList(errors) && errors.length > 0) throw new Told(errors.map(described).join("; "));
    const isWrapped = (form === "ts013" || form === "actility") && "data" in given;
    return isWrapped ? given.data : given;
  }

  // An error that the codec tells instead of throwing it.
  class Told {
    constructor(words) {
      this.words = "tells an error: " + words;
    }
  }

  // What was thrown, in words, and the stack that tells its line, where it has one. Scripts throw whatever there is, and
  // what is asked of it may run the script once more, and throw again.
  function failureOf(error) {
    pass(error);
    const words = isA(error, Told) ? error.words : "throws " + described(error);
    return { words, stack: isObject(error) ? memberOf(error, "stack") : "" };
  }
  // Of memory, or of the engine itself: there may be none left to tell it in.
  function pass(error) {
    if (error === null || isA(error, InternalError)) throw error;
  }
  function isA(error, kind) {
    try {
      return error instanceof kind;
    } catch (again) {
      return false;
    }
  }
  function memberOf(object, name) {
    try {
      const value = object[name];
      return value === undefined || value === null || isObject(value) ? "" : String(value);
    } catch (again) {
      pass(again);
      return "";
    }
  }
  function described(thrown) {
    if (thrown === "") return "an empty text";
    if (!isObject(thrown)) return String(thrown);
    const [name, message] = [memberOf(thrown, "name"), memberOf(thrown, "message")];
    if (message !== "" && typeof thrown !== "function") return name === "" ? message : `${name}: ${message}`;
    try {
      if (typeof thrown === "function") return "a function";
      const own = isList(thrown) ? "" : String(thrown);
      return own === "" || own === "[object Object]" ? stringify(thrown) || "an object" : own;
    } catch (again) {
      pass(again);
      return "an object that cannot be shown";
    }
  }

  // The codec's names, each message anew: `top` is the codec as a function, so what it keeps in its variables it keeps
  // for one message.
  function define(top) {
    global.module = { exports: {} };
    global.exports = global.module.exports;
    const names = apply(top, undefined, []);
    return { ...(isObject(names) ? names : {}), exported: global.module.exports };
  }

  // Gives the form and the function that decodes; or the words and the stack of an error; or nothing, if the codec
  // defines no such form.
  return function begin(top, wanted) {
    received = 0;
    chance = 1;
    let form;
    try {
      const found = define(top);
      form = wanted === "" ? Object.keys(forms).find((form) => forms[form](found)) : wanted;
      if (form === undefined || !forms[form](found)) return { form: "", words: "", stack: "" };
      sweep();
      freezeAll();
    } catch (error) {
      return { form: "", ...failureOf(error) };
    }
    return {
      form,
      words: "",
      stack: "",
      // Gives the data as JSON, the words and the stack of an error, and whether this context is as it was before.
      decode(bytes, port, time) {
        received = time;
        chance = 1;
        try {
          const data = dataOf(form, forms[form](define(top))(bytes, port === -1 ? undefined : port));
          const json = stringify(data);
          return [typeof json === "string" ? json : "null", "", "", sweep()];
        } catch (error) {
          const { words, stack } = failureOf(error);
          return ["", words, stack, sweep()];
        }
      },
    };
  };
})
