//! The grids of the IQ types: short lists of points, of which a block stores indices.
//!
//! A grid has as many points as an index has values, chosen from all `3^8` or `8^4` of them by how often real weights
//! come near. They follow no rule, so they are data: ggml's `iq2xxs_grid` and its siblings, in ascending order when each
//! coordinate is a digit of a 16-bit number (eight coordinates of two bits, or four of four bits; the first is the lowest).
//!
//! In the source a grid is text: the differences of neighbours in base 32, lowest digit first, a character each; characters
//! from `'P'` on mean that another digit follows. The compiler makes numbers of them, and of these the bytes that a product
//! takes: a decoder reads eight or four weights by one load.

/// Reads the text of a grid. Fails to compile if it has not `N` points.
const fn points<const N: usize>(text: &str) -> [u16; N] {
    let text = text.as_bytes();
    let mut points = [0; N];
    let (mut n, mut at, mut point, mut shift) = (0, 0, 0, 0);
    while at < text.len() {
        let c = text[at];
        at += 1;
        if c < b'0' {
            continue; // the line's end and its margin
        }
        let digit = c as u16 - b'0' as u16;
        point += (digit & 31) << shift;
        shift += 5;
        if digit < 32 {
            points[n] = point;
            n += 1;
            shift = 0;
        }
    }
    assert!(n == N, "as many points as the grid has");
    points
}

/// Points of eight 2-bit coordinates as the bytes that `values` has for them, the first coordinate in the lowest byte.
const fn eights<const N: usize>(points: [u16; N], values: [u8; 3]) -> [u64; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < 8 * N {
        out[i / 8] |= (values[(points[i / 8] >> (2 * (i % 8)) & 3) as usize] as u64) << (8 * (i % 8));
        i += 1;
    }
    out
}

/// The same with four 4-bit coordinates.
const fn fours<const N: usize>(points: [u16; N], values: [u8; 8]) -> [u32; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < 4 * N {
        out[i / 4] |= (values[(points[i / 4] >> (4 * (i % 4)) & 7) as usize] as u32) << (8 * (i % 4));
        i += 1;
    }
    out
}

/// Points of eight 2-bit coordinates, each in a nibble: nibble `2 i` has coordinate `i`, nibble `2 i + 1` coordinate `i + 4`.
const fn nibbles<const N: usize>(points: [u16; N]) -> [u32; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < 8 * N {
        out[i / 8] |= (points[i / 8] as u32 >> (2 * (i % 8)) & 3) << (8 * (i % 4) + i % 8 / 4 * 4);
        i += 1;
    }
    out
}

/// The coordinates of a point of [`IQ1`], a byte each.
#[inline(always)]
pub(super) fn coordinates(point: u32) -> u64 {
    let point = u64::from(point);
    (point | point << 28) & (EACH * 3)
}

/// One in each byte.
pub(super) const EACH: u64 = 0x0101_0101_0101_0101;

/// Eight bytes, in 1..128, with the sign bit of each in `signs`: minus where it is set.
#[inline(always)]
pub(super) fn negate(bytes: u64, signs: u8) -> u64 {
    // A copy of all signs in each byte, of which one is looked at; it carries to the top.
    let own = u64::from(signs).wrapping_mul(EACH) & 0x8040_2010_0804_0201;
    let minus = ((own + EACH * 127) >> 7) & EACH;
    (bytes ^ ((minus << 8).wrapping_sub(minus))) + minus
}

/// Four bytes of seven signs each, and as the eighth what makes the number of minus signs even.
#[inline(always)]
pub(super) fn even_signs(sevens: u32) -> u32 {
    // Each time the lower part of a byte takes up what is above it; what comes from the next byte stays above.
    let parity = sevens ^ sevens >> 4;
    let parity = parity ^ parity >> 2;
    let parity = (parity ^ parity >> 1) & 0x0101_0101;
    sevens | parity << 7
}

/// The same for 28 bits without gaps.
#[inline(always)]
pub(super) fn even_signs_of_28(bits: u32) -> u32 {
    even_signs(bits & 0x7f | (bits & 0x7f << 7) << 1 | (bits & 0x7f << 14) << 2 | (bits & 0x7f << 21) << 3)
}

/// The values of the IQ2 types.
const VALUES_2: [u8; 3] = [8, 25, 43];

/// Eight bytes each.
#[rustfmt::skip]
pub(super) static IQ2_XXS: [u64; 256] = eights(points(r"
    0233273<262G3<893L28Ho23<5[1T2DX32P1P3o;3<A3L26HQ13<Dl226HV1S1GAh37`1T2P1l:53<DI3<2f1l3l1R6B]_13<AOP1
    T1<5[38H`1:V1T5Q1k=8H5T1g1h4Z2n4F[?3<`1Q2o35k4a5_]128j1MO2W5Oh52o?3<`1FZ5Q2S1\9h;Hd3`=m]53<893L8>:Q13
    <`3P1Q2O5l3?h1>Bh<8HP3Ii3Bl6Q@3<`15k5h29Q1S6[2`[18987P38l3n1R3]7o?2h3g7c2\=A8[2l6X6l_1<`1X1h4e2S6X2P=
    5[82b3nEnm528g1Q2R4DX1a6`?3<5[1P1P5V2^2e3g1P1R=R8]8c_1<DLQ3e3Z3U6k=R1R1]8`Io4Rg1^2e1T4g7h@hQ1d5
"), VALUES_2);

/// Eight bytes each.
#[rustfmt::skip]
pub(super) static IQ2_XS: [u64; 512] = eights(points(r"
    0233273237233I323723393L2339357Q33237233273L23393<8I3<`323393<Q13<5[1:g;323723393L233932:Q13<`323393<
    Q13<AOQ43<FJ2R2l;233273<5L3<8X1P1:g23<`1Q28g3P18^3:Q[1323723393L23393<:G3<`323393<Q13<`1D2[332:`1P1P=
    23393<Q1357DLQ43<`1P6De1h=3<2^1Db1j35Q3[7h2gZ1233273<Q13<`1P1Q33<`18Mk4R1n2X1i:3<IGP6Q2AW2X3I\4j:82Fe
    1c1JV6X1h3HR362g[5323723393L233273<5L3<`323393<Q13<`15Mo23<2GGP>2339357Q13<`1D]33<DLj2V3:j1<a=3<`15?>
    n4Ac1<Ik4l_123393<8I3<`1Q43<5[12n5T2V3g:3<AOP1Q1P1o28h38i4W2i1o:D]1?Y2Q4V12S:l[13<`1D>T1S1g2T9V1X2^;F
    j7`15o2mBY3k5Q7^2>n\523393<:G3<`12V12g232:`1A8W5P1P32N8i:3<23[1P1Y1g3T2Q3c3b2f<8Me1V12V1n2l8n28>BiZ13
    <`1F^1l3R1R2b7c1g;5o1<8a6W32_5`@e2S5\6[2P]1262F:f3a58]2j226R1f2P1P=e2`>c1b;F26h38l2P42R52W3I
"), VALUES_2);

/// Eight bytes each.
#[rustfmt::skip]
pub(super) static IQ2_S: [u64; 1024] = eights(points(r"
    0233273237233I32372339323G23393<55g2323723393L2339323753I3<23<3l223393<:G32375[155:>o:32372339323G233
    27323723L32375393l223327323753I323723393L23393<Q332375[15393<Q13<`;2339323755G323723393L5?Fg23<2339O5
    393<Q1?`3A3>62V1Y2X[13237233932J23393237233I32:5393l2233273237233I323723393L23393]33575<3L5<3]13<`;23
    39323753I323723393L23393<Q3323723393L23393<Q13<`35393<Q13<`1Z1g:3237539O23393<Q13l323393<Q13<Ii1R3<`1
    FZ]12339323755G3<23?L::Fg23<23<O23<3<Q13<`3:H62J<h12Ni:32375393L23393<Q13<`35393<Q13<FJQ43<`1IW=5<3]1
    3<j1P1g23<U4e3HR2T12g[532372332732J23327323723L3<5393l22339323723L323723393L23393<Q33<233<L5393<Q13l;
    233273237233I323723393L23393<Q3323723393L23393<:G3<`323393<Q13<`1U1l:35723393L23393<T1<`323393<Q13<`1
    F[33<`1P^123393237233I323723393L23393]3323723393L23393<Q13<`35393<Q13<IGQ<323723393L23393<Q13<`323393
    <Q13<`1Q43<FJP>23393<Q13<:V1Q43<`1P6I\3S1iZ132:23393L5393<T1<`323393<Q13<`1I[3<`1F[2o:5393<Q13<`1Q43<
    `1:NZ1^3d4];3<e2c1X3Z1h8o2oZ523393575L3<2339O5<3]335723393L23393]13<Ig25573]13<a=32372339O23393<Q13<`
    323393<Q13<`1:g33<IGP>5<3]13<b2o23l1U1m5f12X1P1oZ1357233<L23393<Q13<`35<3]13<:W53<`1V3j:23393<Q13<`1F
    [33<`1h29o2V2Nm<3<FJY3g2Y29n9`[155:>8G3<b28f4U1m48H62h262Ni:3<`1Y2Kl2Ih9i=Nj3b5b1R42F26P3R1
"), VALUES_2);

/// Four bytes each.
#[rustfmt::skip]
pub(super) static IQ3_XXS: [u32; 256] = fours(points(r"
    022=2492?Aa12\42=2?4;2?CL`422=?2?24J6N\4692C[2S5T1=CL2\46[1P1S7_1\542]1NPU22=2?2=22C9`52??2o62=2??R2^
    42NAEP1k44[2`64R1[1d4m8NPV22?2=24;Ao522;2??c149`42?692E9E\5?4l24Q6N`5T1Jc1]<2C_1lU2?2?2]1E=^42NAC2k52
    =E]1P1o4R1m7G[1^46Lc1o5R1]1`6]1TU2CN2L4m8\5G9P16Q5n1o5]2CQ6N]1e<;2NRW2_1_1`46P1_1o5NP2`4a2m5C4[2`4_1o
    8d6NRW2P12Nm5P2f5]2\66^8Q6]2Q7`6NRW2229R1P1d6Jb6c1=^5EN]1Q6P1o52R1\8
"), [4, 12, 20, 28, 36, 44, 52, 62]);

/// Four bytes each.
#[rustfmt::skip]
pub(super) static IQ3_S: [u32; 512] = fours(points(r"
    0113291122:14>=232:2=2?33Y4112<14;34:4?M4=^4142933;4;4>32:2M3`4>4;2?23><2E:4[4C4:3>>3>Ob42L24=>42O=c4
    ;2NQ1O_422L24=M4\U2112<122292?32N2;A^4123:4=?3>?2N6Z4B3294>>3B;B_43393>694=Q1>c42=2M2?4:4]5?3>?2O_643
    M2k52=2?D<Q1>`T212229222;2492?22;2E932[42>34;3<3>?`533J2=7:B4J3\423<A2=2?>Fk46I3?3<a13_4=AE9CM`425Jd1
    <T5<E:C=bU2?222;?22=23:B>`422?=2MP1B4Z4B>B2La5?4=249A24>N`4>5<?Q1>4m4?2C=BBMS5[1P62M2C[V24>>43;??P1b4
    5:2?>5>>4\52=5<B=G;>d4=2=2?4[62R1C9a1d42JQ2a5Q1\1`55KC>aU2>4>N43;D>]422=?AP2^4AB=6M_559GM=D>^43LBD\6D
    [12_7P62N_W222L2]1P5P17m1^5R1>C=>`4D=OU7NOn43a1\1U5k1a62]W243I2D:D>P5?CO2l53<6;?Q1a5`13N^54>=`1b6P1P6
    _1_6
"), [1, 3, 5, 7, 9, 11, 13, 15]);

/// Eight [`coordinates`] in 0..3. Of IQ1_S and IQ1_M.
#[rustfmt::skip]
pub(super) static IQ1: [u32; 2048] = nibbles(points(r"
    0233274;262K<32?K262;;262j21<3231;L539357322M<32?k2262;;262K<8;5G2627447262W;32?L8<5:1\18<l2311?32?G5
    561311372332G@43273113[35X13<2338153L<35W;262;;262K<5?K262;;262k2<35;1L?14<35X1323<k2262;;262K<884K23
    32;;262V[1135;1L3<539314X132;4l23237233935L5611211375O>3<3]332?K639332:2O<32?l:53;13185K412273113933L
    57413117314i2357311372332G311;12113173113G221326131131623l2311?12275J2213274121831311L483?5X;5?L32375
    3261323L<3A[323574M213931131655O8133953P3=>2N237233953L<54V[1262;;2332K<884K262;;2332k2<35<M25<327311
    O;63<l27274;262K<53<L7274;262k:?23<O1139332<O<3584T3<<8G539314933Q1741327323l2;27<L8<;18K2::V;262;;26
    2K<3AK262F262o2835<Q1393<323L;63;1k2262F262K<53<K262;;262kZ5<5?T19332732^1585j2132393122753L32731131;
    32G32:23;11S3<32?LA35:5P1;Al:D4@L327311;1332G53723;18h213573113755G3113713112183113I213931131;32g244;
    132735G233811313933I45:1<32o:<45;M77539323L<323<l24146413932J5571211372314L393129323]3^123<32:5[1AlZ1
    3113935735G5393113<3N3<38153l231173112175122G311371121121173113I3<3113755g25<3573N357311393P1;2341:P;
    1<311218432G3113161311211712113G82731138315g2121137112113173113G112112171121121161311211G314161311218
    3113g21122218313171121121H412116112112117314I3121174583121k:11375399K327311217221M7723398h213573113<L
    311371121121173113H44831121<o24=56513L31841219332G9831227T[1?23<O<51227323HE?l232393<143L48413<14J683
    <53X353W115?128U1<5?\;1314753G2332731131623O147221122735l2327413[111371311383113M31741318312j27<;621G
    532731122653H235:2217424\;3<LA3578L<7>k23<5<323G141293113755H26;<314X352Y1357532:14M>42<jZ5262F262K;1
    323<K262;;262k2<323<L35723121;23L4;23<k2262;;262W135<K262;;262Z;5X13=45735[15X38935<3G143931131;122G3
    237233>[353<L3516541754K<9:l:262;;262G4<35<4G262;;262k21;32?L323723573Q1A3<k2262;;262K<32Z1262;;262kZ
    1<521<L53<32?1K<323<l232375327323G5;1311393O2<339323l2<35<O237233>3L?2Ch:32:53>J:7311217113O2<21398g2
    5326131138441G311371121121173113H43912113162332g23<54763L3181313<3J251821?23l:A3<L5:2314:1P1<53<o2237
    23326132J2332731139314G3<23575o2@@O237539T1<311Z[1262;;262K<323W1262;;262k2483231\13843273Q1;243Y3626
    9962K<53<K262;;262_;<L3<413274121LQ437233>3I3<3113<5G3113933]3<5474O24831282T1:513832j:262F262W1323W1
    262;;262k2?584L?55753W16Z3262F262W132Z1262;;262
"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_ascend_and_have_all_values() {
        fn check<const N: usize>(grid: impl Iterator<Item = [u8; N]>, values: &[u8]) {
            let grid: Vec<_> = grid.map(|mut point| (point.reverse(), point).1).collect();
            assert_eq!(grid[0], [values[0]; N]);
            assert!(grid.windows(2).all(|w| w[0] < w[1]));
            assert!(grid.iter().flatten().all(|v| values.contains(v)));
            assert!(values.iter().all(|v| grid.as_flattened().contains(v)));
        }
        check(IQ2_XXS.iter().map(|p| p.to_le_bytes()), &VALUES_2);
        check(IQ2_XS.iter().map(|p| p.to_le_bytes()), &VALUES_2);
        check(IQ2_S.iter().map(|p| p.to_le_bytes()), &VALUES_2);
        check(IQ3_XXS.iter().map(|p| p.to_le_bytes()), &[4, 12, 20, 28, 36, 44, 52, 62]);
        check(IQ3_S.iter().map(|p| p.to_le_bytes()), &[1, 3, 5, 7, 9, 11, 13, 15]);
        check(IQ1.iter().map(|p| coordinates(*p).to_le_bytes()), &[0, 1, 2]);
    }

    #[test]
    fn bytes_and_signs() {
        for signs in 0..=255 {
            let bytes = negate(0x7f3e_0f2b_1908_0401, signs).to_le_bytes().map(|b| b as i8);
            let want = [1i8, 4, 8, 25, 43, 15, 62, 127];
            for i in 0..8 {
                assert_eq!(bytes[i], if (signs >> i) & 1 == 1 { -want[i] } else { want[i] });
            }
        }
        for seven in 0..128u8 {
            let others = [seven, 127, 1, !seven & 127];
            let signs = even_signs(u32::from_le_bytes(others)).to_le_bytes();
            let packed = others.iter().rev().fold(0xf, |bits, s| bits << 7 | u32::from(*s));
            assert_eq!(even_signs_of_28(packed).to_le_bytes(), signs);
            for (with, without) in signs.into_iter().zip(others) {
                assert_eq!((with & 127, with.count_ones() % 2), (without, 0));
            }
        }
    }
}
