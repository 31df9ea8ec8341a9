// Milesight EM300: rows of channel, type and value. In the form of TS013.
function decodeUplink(input) {
  if (input.fPort !== 85) {
    return { errors: ["unknown FPort"] };
  }
  return { data: rows(input.bytes) };
}

function signed16(bytes, at) {
  var value = bytes[at] + bytes[at + 1] * 256;
  return value > 0x7fff ? value - 0x10000 : value;
}

function rows(bytes) {
  var decoded = {};
  for (var at = 0; at < bytes.length; ) {
    var channel = bytes[at++];
    var type = bytes[at++];
    if (channel === 0x01 && type === 0x75) {
      decoded.battery = bytes[at];
      at += 1;
    } else if (channel === 0x03 && type === 0x67) {
      decoded.temperature = signed16(bytes, at) / 10;
      at += 2;
    } else if (channel === 0x04 && type === 0x68) {
      decoded.humidity = bytes[at] / 2;
      at += 1;
    } else if (channel === 0x05 && type === 0x00) {
      at += 1;
    } else if (channel === 0x20 && type === 0xce) {
      decoded.history = decoded.history || [];
      decoded.history.push({
        timestamp: bytes[at] + bytes[at + 1] * 0x100 + bytes[at + 2] * 0x10000 + bytes[at + 3] * 0x1000000,
        temperature: signed16(bytes, at + 4) / 10,
        humidity: bytes[at + 6] / 2,
      });
      at += 8;
    } else {
      throw new Error("unknown channel " + channel);
    }
  }
  return decoded;
}
