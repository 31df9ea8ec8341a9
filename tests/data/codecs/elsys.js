// Elsys sensors: rows of type and value. In the form of ChirpStack 3, with Buffer and a class.
const WIDTHS = { 1: 2, 2: 1, 3: 3, 4: 2, 5: 1, 6: 2, 7: 2 };

class Rows {
  constructor(bytes) {
    this.bytes = Buffer.from(bytes);
    this.at = 0;
  }
  *[Symbol.iterator]() {
    while (this.at < this.bytes.length) {
      const type = this.bytes.readUInt8(this.at);
      if (!(type in WIDTHS)) throw new Error(`type ${type} at byte ${this.at}`);
      yield [type, this.bytes.slice(this.at + 1, this.at + 1 + WIDTHS[type])];
      this.at += 1 + WIDTHS[type];
    }
  }
}

function Decode(fPort, bytes, variables) {
  const decoded = { received: new Date() };
  for (const [type, value] of new Rows(bytes)) {
    if (type === 1) decoded.temperature = value.readInt16BE(0) / 10;
    if (type === 2) decoded.humidity = value.readUInt8(0);
    if (type === 4) decoded.light = value.readUInt16BE(0);
    if (type === 5) decoded.motion = value.readUInt8(0);
    if (type === 6) decoded.co2 = value.readUInt16BE(0);
    if (type === 7) decoded.vdd = value.readUInt16BE(0);
  }
  return decoded;
}
