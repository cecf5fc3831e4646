;; The arithmetic of a weight average over tiles of one tensor: widen to float32, add with a weight in float64, round once.
;; All arrays lie in this module's memory and start at multiples of 16 bytes; lengths count groups of four elements.
(module
  (import "env" "memory" (memory 1))

  ;; sum = -0, to which adding anything, -0 included, gives that thing.
  (func (export "clear") (param $sum i32) (param $groups i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $sum) (i32.shl (local.get $groups) (i32.const 5))))
    (loop $next
      (v128.store (local.get $sum) (v128.const f64x2 -0 -0))
      (v128.store offset=16 (local.get $sum) (v128.const f64x2 -0 -0))
      (local.set $sum (i32.add (local.get $sum) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $sum) (local.get $end)))))

  ;; float32 from bfloat16: the upper halves of its bits.
  (func (export "widenBF16") (param $from i32) (param $to i32) (param $groups i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 4))))
    (loop $next
      (v128.store (local.get $to)
        (i32x4.shl (i32x4.extend_low_i16x8_u (v128.load64_zero (local.get $from))) (i32.const 16)))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end)))))

  ;; float32 from float16. Its 15 lower bits, shifted into place, need 112 added to the exponent. Below 2^-14 there is no
  ;; implicit one: 2^-14 added and taken away again leaves the number. Infinities become NaNs: neither can be averaged.
  (func (export "widenF16") (param $from i32) (param $to i32) (param $groups i32)
    (local $end i32) (local $half v128) (local $bits v128) (local $broken v128) (local $small v128)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 4))))
    (loop $next
      (local.set $half (i32x4.extend_low_i16x8_u (v128.load64_zero (local.get $from))))
      (local.set $bits (i32x4.shl
        (v128.and (local.get $half) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff)) (i32.const 13)))
      (local.set $broken
        (i32x4.gt_s (local.get $bits) (v128.const i32x4 0x0f7fffff 0x0f7fffff 0x0f7fffff 0x0f7fffff)))
      (local.set $small
        (i32x4.gt_s (v128.const i32x4 0x00800000 0x00800000 0x00800000 0x00800000) (local.get $bits)))
      (local.set $bits
        (i32x4.add (local.get $bits) (v128.const i32x4 0x38000000 0x38000000 0x38000000 0x38000000)))
      (local.set $bits (v128.bitselect
        (f32x4.sub
          (i32x4.add (local.get $bits) (v128.const i32x4 0x00800000 0x00800000 0x00800000 0x00800000))
          (v128.const i32x4 0x38800000 0x38800000 0x38800000 0x38800000))
        (local.get $bits)
        (local.get $small)))
      (v128.store (local.get $to) (v128.or
        (v128.or (local.get $bits) (local.get $broken))
        (i32x4.shl (v128.and (local.get $half) (v128.const i32x4 0x8000 0x8000 0x8000 0x8000)) (i32.const 16))))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end)))))

  ;; sum += weight * values.
  (func (export "add") (param $sum i32) (param $values i32) (param $groups i32) (param $weight f64)
    (local $end i32) (local $w v128) (local $x v128)
    (local.set $w (f64x2.splat (local.get $weight)))
    (local.set $end (i32.add (local.get $sum) (i32.shl (local.get $groups) (i32.const 5))))
    (loop $next
      (local.set $x (v128.load (local.get $values)))
      (v128.store (local.get $sum) (f64x2.add
        (v128.load (local.get $sum))
        (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4 (local.get $x)))))
      (v128.store offset=16 (local.get $sum) (f64x2.add
        (v128.load offset=16 (local.get $sum))
        (f64x2.mul (local.get $w) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $x) (local.get $x))))))
      (local.set $sum (i32.add (local.get $sum) (i32.const 32)))
      (local.set $values (i32.add (local.get $values) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $sum) (local.get $end)))))

  ;; to = sum, rounded to float32. Returns 0, or NaN when a number is not finite.
  (func (export "round") (param $sum i32) (param $to i32) (param $groups i32) (result f32)
    (local $end i32) (local $x v128) (local $check v128)
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $groups) (i32.const 4))))
    (loop $next
      (local.set $x (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (v128.load (local.get $sum)))
        (f32x4.demote_f64x2_zero (v128.load offset=16 (local.get $sum)))))
      (v128.store (local.get $to) (local.get $x))
      (local.set $check (f32x4.add (local.get $check) (f32x4.sub (local.get $x) (local.get $x))))
      (local.set $sum (i32.add (local.get $sum) (i32.const 32)))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $to) (local.get $end))))
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $check)) (f32x4.extract_lane 1 (local.get $check)))
      (f32.add (f32x4.extract_lane 2 (local.get $check)) (f32x4.extract_lane 3 (local.get $check))))))
